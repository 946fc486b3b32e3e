/** What may be configured: each key, what it may be, and the variable that sets it. */
import {
  anything,
  nearestName,
  someObject,
  someText,
  trueOrFalse,
  wholeNumber,
} from "../core/options.ts";
import type { OptionRule } from "../core/options.ts";
import { CadreError } from "../core/errors.ts";
import type { CadreConfig } from "./config.ts";

export interface ConfigKey extends OptionRule {
  readonly variable: string | undefined;
  /** Reads the variable's text; a text that is no such value stays what it is, and is refused. */
  readonly read: (text: string) => unknown;
}

const asIs = (text: string): unknown => text;
const asNumber = (text: string): unknown => (/^\d+$/.test(text.trim()) ? Number(text) : text);

const yes: readonly string[] = ["true", "1", "yes", "on"];
const no: readonly string[] = ["false", "0", "no", "off"];

/** `true`, `1`, `yes`, `on` and their opposites; another text stays what it is. */
export function asTruth(text: string): unknown {
  const word = text.trim().toLowerCase();
  return yes.includes(word) ? true : no.includes(word) ? false : text;
}

const milliseconds = (variable: string): ConfigKey => ({
  ...wholeNumber(1),
  variable,
  read: asNumber,
});

/** Whether `value` is text that begins with one of `schemes`, or a ready-made object. */
function url(schemes: RegExp, expected: string): OptionRule {
  return {
    expected,
    accepts: (value) =>
      typeof value === "string" ? schemes.test(value) : someObject.accepts(value),
  };
}

export const configKeys: Readonly<Record<keyof CadreConfig, ConfigKey>> = {
  store: {
    ...url(
      /^(?:memory:$|sqlite:.|postgres(?:ql)?:\/\/.)/,
      'a URL: "memory:", "sqlite:PATH" or "postgres://HOST:PORT/DATABASE"',
    ),
    variable: "CADRE_STORE",
    read: asIs,
  },
  bus: {
    ...url(
      /^(?:memory:$|sqlite:.|eventbridge:|(?:postgres(?:ql)?|nats|tls|amqps?|rediss?|kafkas?):\/\/.)/,
      'a URL: "memory:", "sqlite:PATH", "postgres://HOST:PORT/DATABASE", "nats://HOST:PORT", "amqp://HOST:PORT", "redis://HOST:PORT", "eventbridge://REGION/EVENT-BUS" or "kafka://HOST:PORT"',
    ),
    variable: "CADRE_BUS",
    read: asIs,
  },
  name: { ...someText, variable: "CADRE_NAME", read: asIs },
  heartbeatMs: milliseconds("CADRE_HEARTBEAT_MS"),
  suspectAfterMs: milliseconds("CADRE_SUSPECT_AFTER_MS"),
  leaseMs: milliseconds("CADRE_LEASE_MS"),
  orchestrator: { ...trueOrFalse, variable: "CADRE_ORCHESTRATOR", read: asTruth },
  relay: { ...trueOrFalse, variable: "CADRE_RELAY", read: asTruth },
  events: {
    ...anything,
    expected: "a registry, as defineEvents makes one",
    accepts: (value) => typeof value === "object" && value !== null && "validate" in value,
    variable: undefined,
    read: asIs,
  },
};

/** A value and where it came from, for messages. */
export interface Found {
  readonly value: unknown;
  /** A file, a variable or a flag. */
  readonly from: string;
}

/** @throws {CadreError} INVALID_CONFIG, when `name` is no key, or its value is not allowed */
export function checkFound(name: string, found: Found): void {
  const names = Object.keys(configKeys);
  const key = names.includes(name) ? configKeys[name as keyof CadreConfig] : undefined;
  if (!key) {
    const closest = nearestName(name, [...names, "event_bus"]);
    const hint = closest === undefined ? "" : ` Did you mean "${closest}"?`;
    const allowed = names.join(", ");
    throw new CadreError(
      "INVALID_CONFIG",
      `There is no setting "${name}" (${found.from}).${hint} The settings are: ${allowed}.`,
      { key: name, value: found.value, from: found.from, allowed },
    );
  }
  if (!key.accepts(found.value)) throw invalidConfig(name, found, key.expected);
}

/** The error for a value that cannot be used. `allowed` ends the sentence "Give …". */
export function invalidConfig(
  key: string,
  { value, from }: Found,
  allowed: string,
): CadreError<"INVALID_CONFIG"> {
  const shown = typeof value === "object" && value !== null ? "an object" : JSON.stringify(value);
  const message = `${key} is ${shown} (${from}). Give ${allowed}.`;
  return new CadreError("INVALID_CONFIG", message, { key, value, from, allowed });
}
