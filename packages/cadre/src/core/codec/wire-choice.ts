/**
 * Which wire format a transport writes: one for all, or by topic. Every transport has these
 * options.
 */
import type { AgentEvent } from "../event.ts";
import { CadreError } from "../errors.ts";
import type { OptionRule } from "../options.ts";
import { assertPattern, compilePattern } from "../pattern.ts";
import type { CloudBinding } from "./cloudevents-binary.ts";
import type { CloudDecodeOptions } from "./cloudevents.ts";
import type { CodecLimits } from "./wire-json.ts";
import {
  readMessage,
  wireFormat,
  wireFormatNames,
  type ForeignMessage,
  type WireFormat,
  type WireFormatName,
  type WireMessage,
} from "./wire-format.ts";

export interface WireOptions {
  /**
   * How events are written; whatever comes is read. `cloudevents-binary` has the attributes in the
   * carrier's headers, where it has some. @default "cloudevents"
   */
  readonly format?: WireFormatName | WireFormat;
  /** Other formats for some types; the first whose pattern matches counts. @default none */
  readonly formats?: readonly TopicFormat[];
}

export interface TopicFormat {
  /** A topic pattern: `task.#`. */
  readonly pattern: string;
  readonly format: WireFormatName | WireFormat;
}

/** What a transport writes with and reads with. */
export interface WireChoice {
  /** @throws {CadreError} TOO_LARGE */
  encode(event: AgentEvent, limits?: CodecLimits): WireMessage;
  /** @throws {CadreError} TOO_LARGE | UNDECODABLE */
  decode(message: ForeignMessage, options?: CloudDecodeOptions): AgentEvent;
}

const isFormat = (value: unknown): boolean =>
  typeof value === "string"
    ? (wireFormatNames as readonly string[]).includes(value)
    : typeof value === "object" && value !== null && "encode" in value && "decode" in value;

const names = wireFormatNames.map((name) => `"${name}"`).join(", ");

/** For `checkOptions`. */
export const wireOptionRules: Readonly<Record<keyof WireOptions, OptionRule>> = {
  format: { expected: `one of ${names}, or a format of your own`, accepts: isFormat },
  formats: {
    expected: "a list of { pattern, format }",
    accepts: (value) =>
      Array.isArray(value) &&
      value.every(
        (each: unknown) =>
          typeof each === "object" &&
          each !== null &&
          "pattern" in each &&
          typeof each.pattern === "string" &&
          "format" in each &&
          isFormat(each.format),
      ),
  },
};

/**
 * @param binding how the carrier's headers are written; none, where it has no headers
 * @throws {CadreError} INVALID_PATTERN
 */
export function wireChoice(
  { format = "cloudevents", formats = [] }: WireOptions,
  binding?: CloudBinding,
): WireChoice {
  const resolve = (each: WireFormatName | WireFormat): WireFormat =>
    typeof each === "string" ? wireFormat(each, binding) : each;
  const first = resolve(format);
  const byTopic = formats.map(({ pattern, format: other }) => {
    assertPattern(pattern);
    return { matches: compilePattern(pattern), format: resolve(other) };
  });
  const formatOf = (type: string): WireFormat =>
    byTopic.find(({ matches }) => matches(type))?.format ?? first;
  const own = [first, ...byTopic.map((each) => each.format)].filter((each) => "recognises" in each);
  return {
    encode:
      byTopic.length === 0
        ? (event, limits) => first.encode(event, limits)
        : (event, limits) => formatOf(event.type).encode(event, limits),
    decode: (message, options) => {
      const known = own.find((each) => each.recognises?.(message));
      return known ? known.decode(message, options) : readMessage(message, options, binding);
    },
  };
}

/**
 * The `format` of a URL's query.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function formatOfUrl(value: string | null): Pick<WireOptions, "format"> {
  if (value === null) return {};
  const name = wireFormatNames.find((each) => each === value);
  if (name !== undefined) return { format: name };
  const message = `"${value}" is no wire format. Give ?format= one of ${names}.`;
  throw new CadreError("INVALID_OPTION", message, { option: "format", value });
}
