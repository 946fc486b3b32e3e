/** What may stand beside an event type in `defineEvents`, and what the compiler infers from it. */
import type { AgentEvent } from "./event.ts";
import type { CompatibilityMode } from "./schema-compatibility.ts";

/** What Cadre uses of a Standard Schema (zod, valibot, arktype …); no validator is imported. */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
    /** Standard JSON Schema, where the validator has it. May throw for what it cannot express. */
    readonly jsonSchema?:
      | { readonly input: (options: { readonly target: string }) => Record<string, unknown> }
      | undefined;
  };
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A JSON Schema, draft 7 unless its `$schema` says 2019-09 or 2020-12. `format` is not checked. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A payload type known to the compiler, with or without a schema that is checked at run time. */
export interface PayloadType<Payload> {
  readonly schema?: JsonSchema | StandardSchema;
  /** Only for inference; never set. */
  readonly accepts?: Payload;
}

/**
 * The payload type of an event, for the compiler alone; `schema` adds a check at run time.
 *
 * Without a schema no payload of this type is refused.
 */
export function type<Payload>(schema?: JsonSchema | StandardSchema): PayloadType<Payload> {
  return schema === undefined ? {} : { schema };
}

/** Makes the payload of the next version out of an older one. Pure; its result must be JSON. */
export type Upcaster = (payload: never, event: AgentEvent) => unknown;

/** An event type with more than its payload. */
export interface EventDefinition<Payload = unknown> extends PayloadType<Payload> {
  readonly schema?: JsonSchema | StandardSchema;
  /** Version of the payload, `1.2.0`; `1.2` and `1` are read as such. @default "1.0.0" */
  readonly version?: string;
  /** One line of meaning. */
  readonly description?: string;
  /**
   * How an older payload becomes a newer one, by the version that is read. A function leads to the
   * next version of this table, the last one to the current version; `{ to, up }` names where it
   * leads.
   */
  readonly upcast?: Readonly<
    Record<string, Upcaster | { readonly to: string; readonly up: Upcaster }>
  >;
  /**
   * Schemas of earlier versions. One that is compatible is read as it is, without an upcaster; one
   * that is not, and has no upcaster either, is refused.
   */
  readonly earlier?: Readonly<Record<string, JsonSchema | StandardSchema>>;
  /** What is asked of a new version against `earlier`. @default that of the registry */
  readonly compatibility?: CompatibilityMode;
}

/** What `defineEvents` takes for each event type. */
export type EventDefinitions = Readonly<
  Record<string, EventDefinition | StandardSchema | JsonSchema>
>;

/**
 * The payload type that a definition stands for; `unknown` where a bare JSON Schema says nothing to
 * the compiler.
 */
export type PayloadOfDefinition<Definition> = Definition extends {
  readonly "~standard": { readonly types?: infer Types };
}
  ? NonNullable<Types> extends { readonly output: infer Output }
    ? Output
    : unknown
  : "accepts" extends keyof Definition
    ? Definition extends { readonly accepts?: infer Payload }
      ? Payload
      : unknown
    : Definition extends { readonly schema: infer Schema }
      ? PayloadOfDefinition<Schema>
      : unknown;

/** The event map of a registry: its own definitions, then those of the registry that it extends. */
export type EventsDefinedBy<Definitions, Base, Closed extends boolean> = {
  readonly [
    Type in keyof Definitions | keyof Base | (Closed extends true ? never : "#")
  ]: Type extends keyof Definitions
    ? PayloadOfDefinition<Definitions[Type]>
    : Type extends keyof Base
      ? Base[Type]
      : Readonly<Record<string, unknown>>;
};
