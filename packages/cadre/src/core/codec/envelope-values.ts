/** How the values of older envelopes are read, and how Cadre writes them. */
import { priorities, type Priority } from "../event.ts";
import type { JsonValue } from "../json.ts";
import { undecodable } from "./wire-json.ts";

/** Text, or a number as text; `null` and the empty text are none. */
export function readText(value: JsonValue | undefined): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** As {@link readText}, of a member that must be text where it is there. */
export function readName(name: string, value: JsonValue | undefined): string | undefined {
  const text = readText(value);
  if (text === undefined && value !== undefined && value !== null && value !== "") {
    throw undecodable(`its ${name} is no text`);
  }
  return text;
}

// Date, time with optional fraction, optional offset; Python's `str` has a space for the T.
const day = "(\\d{4}-\\d\\d-\\d\\d)";
const hour = "(\\d\\d:\\d\\d)(?::(\\d\\d)(?:[.,](\\d{1,9}))?)?";
const zone = "(?:([Zz])|([+-]\\d\\d):?(\\d\\d)?)?";
const written = new RegExp(`^${day}(?:[Tt ]${hour})?\\s?${zone}$`);
const firstMilliseconds = 1e11; // as seconds the year 5138, as milliseconds March 1973
const firstMicroseconds = 1e14; // as milliseconds the year 5138

/**
 * Unix milliseconds of an ISO text (without a zone it is UTC), or of epoch seconds, milliseconds,
 * microseconds or nanoseconds, told apart by their size.
 *
 * @throws {CadreError} UNDECODABLE
 */
export function readInstant(value: JsonValue | undefined): number | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const number = typeof value === "string" && /^-?\d+(?:\.\d+)?$/.test(value) ? +value : value;
  const instant = typeof number === "number" ? fromEpoch(number) : fromText(number);
  if (!Number.isFinite(instant)) throw undecodable("its timestamp is no instant");
  return instant + 0; // -0 is 0
}

function fromEpoch(number: number): number {
  let size = Math.abs(number);
  // To the nearest microsecond first: seconds with a fraction are no exact doubles.
  if (size < firstMilliseconds) return Math.floor(Math.round(number * 1e6) / 1e3);
  let divisor = 1;
  for (; size >= firstMicroseconds; size /= 1_000) divisor *= 1_000;
  return divisor > 1e6 ? NaN : Math.floor(number / divisor);
}

function fromText(value: JsonValue): number {
  const parts = typeof value === "string" ? written.exec(value.trim()) : null;
  if (!parts) return NaN;
  const [, date, time = "00:00", seconds = "00", fraction = "", zulu, hours, minutes] = parts;
  const offset = zulu !== undefined || hours === undefined ? "Z" : `${hours}:${minutes ?? "00"}`;
  const ms = fraction.slice(0, 3).padEnd(3, "0");
  const instant = Date.parse(`${date}T${time}:${seconds}.${ms}${offset}`);
  return isDay(date ?? "") ? instant : NaN;
}

/** What is no day of its month would roll over into the next. */
function isDay(date: string): boolean {
  const noon = Date.parse(`${date}T12:00:00Z`);
  return !Number.isNaN(noon) && new Date(noon).toISOString().startsWith(date);
}

const lastInstant = 253_402_300_799_999; // the end of the year 9999: ISO texts have four digits

/**
 * ISO with an offset in digits: Python before 3.11 does not read a `Z`. What no such text can say
 * is brought near.
 */
export function writeInstant(instant: number): string {
  const within = Math.min(Math.max(0, Math.floor(instant)), lastInstant);
  return `${new Date(within).toISOString().slice(0, -1)}+00:00`;
}

const numbers = /^\d+(?:\.\d+){0,2}$/;
const semver = /^\d+\.\d+\.\d+[-+][\w.+-]+$/;

/** A version of one, two or three numbers as three: "1.0" is "1.0.0". */
export function readVersion(value: JsonValue | undefined): string | undefined {
  const text = readText(value);
  if (text === undefined) return undefined;
  if (semver.test(text)) return text;
  if (!numbers.test(text)) return undefined;
  const [major, minor = "0", patch = "0"] = text.split(".");
  return `${major}.${minor}.${patch}`;
}

/** The short form that older programs compare with: "1.0.0" goes out as "1.0". */
export function writeVersion(version: string): string {
  return version.replace(/^(\d+\.\d+)\.0$/, "$1");
}

export function readPriority(value: JsonValue | undefined): Priority | undefined {
  const word = typeof value === "string" ? value.toLowerCase() : undefined;
  return priorities.find((priority) => priority === word);
}
