/**
 * The JSON Schemas of the built-in payloads, written so that the compiler compares each with the
 * payload's type: a member that is missing, misspelt or of another type doesn't compile.
 *
 * Objects allow further members: a newer publisher may say more.
 */

/** A JSON Schema of values of type `Value`. */
export interface Member<Value> {
  readonly schema: Readonly<Record<string, unknown>>;
  /** Only for the comparison with the payload's type; never set. */
  readonly accepts?: Value;
}

/** A member that may be left out. */
export interface OptionalMember<Value> extends Member<Value> {
  readonly optional: true;
}

type RequiredMember<Value> = Member<Value> & { readonly optional?: never };

/** One schema for each member of `Payload`, optional ones marked so. */
export type MembersOf<Payload> = {
  readonly [Name in keyof Payload]-?: {} extends Pick<Payload, Name>
    ? OptionalMember<Exclude<Payload[Name], undefined>>
    : RequiredMember<Payload[Name]>;
};

/** One built-in event type. */
export interface BuiltinEvent<Payload> {
  readonly schema: Readonly<Record<string, unknown>>;
  readonly version: string;
  readonly description: string;
  /** Only for inference; never set. */
  readonly accepts?: Payload;
}

/** The definitions of all types of one family. */
export type BuiltinFamily<Events> = {
  readonly [Type in keyof Events]: BuiltinEvent<Events[Type]>;
};

/**
 * Declares an event type of version 1.0.0 by its meaning, one line, and the members of its payload.
 */
export function fact<Payload>(
  description: string,
  members: NoInfer<MembersOf<Payload>>,
): BuiltinEvent<Payload> {
  return { version: "1.0.0", description, schema: object<Payload>(members).schema };
}

export function object<Value>(members: NoInfer<MembersOf<Value>>): RequiredMember<Value> {
  const entries = Object.entries(members as Readonly<Record<string, Member<unknown>>>);
  const required = entries.filter(([, member]) => !("optional" in member)).map(([name]) => name);
  return {
    schema: {
      type: "object",
      properties: Object.fromEntries(entries.map(([name, member]) => [name, member.schema])),
      ...(required.length > 0 ? { required } : {}),
    },
  };
}

export function optional<Value>(member: Member<Value>): OptionalMember<Value> {
  return { schema: member.schema, optional: true };
}

export function list<Item>(item: Member<Item>): RequiredMember<readonly Item[]> {
  return { schema: { type: "array", items: item.schema } };
}

export function oneOf<const Words extends readonly string[]>(
  ...words: Words
): RequiredMember<Words[number]> {
  return { schema: { type: "string", enum: words } };
}

/** An object with any keys. */
export function map<Value>(value: Member<Value>): RequiredMember<Readonly<Record<string, Value>>> {
  return { schema: { type: "object", additionalProperties: value.schema } };
}

/** Any JSON value. */
export const anyJson: RequiredMember<unknown> = { schema: {} };
export const text: RequiredMember<string> = { schema: { type: "string" } };
/** A string that isn't empty: ids and names. */
export const word: RequiredMember<string> = { schema: { type: "string", minLength: 1 } };
export const flag: RequiredMember<boolean> = { schema: { type: "boolean" } };
export const number: RequiredMember<number> = { schema: { type: "number" } };
/** A whole number from 0. */
export const count: RequiredMember<number> = { schema: { type: "integer", minimum: 0 } };
/** A whole number from 1: attempts and epochs. */
export const ordinal: RequiredMember<number> = { schema: { type: "integer", minimum: 1 } };
/** A number from 0 to 1: shares, scores, probabilities. */
export const share: RequiredMember<number> = { schema: { type: "number", minimum: 0, maximum: 1 } };
/** Unix milliseconds. */
export const instant: RequiredMember<number> = { schema: { type: "number", minimum: 0 } };
/** A duration in milliseconds. */
export const durationMs: RequiredMember<number> = { schema: { type: "number", minimum: 0 } };

/** What a piece of work may spend; what is left out is unbounded. */
export interface PlainBudget {
  readonly tokens?: number;
  readonly calls?: number;
  readonly money?: number;
}

const amount: RequiredMember<number> = { schema: { type: "number", minimum: 0 } };

export const plainBudget: RequiredMember<PlainBudget> = object<PlainBudget>({
  tokens: optional(count),
  calls: optional(count),
  money: optional(amount),
});

/** What is kept of an error. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
}

export const plainError: RequiredMember<PlainError> = object<PlainError>({
  name: text,
  message: text,
  code: optional(text),
});
