/**
 * JSON as other languages write it: what JavaScript would silently change is refused, with words
 * that say what it is.
 */
import type { JsonValue } from "../json.ts";
import { decodeText, parseJson, undecodable, type CodecLimits } from "./wire-json.ts";

const longDigits = /\d{16}/; // the shortest integer that a double may not hold
const notJson = /(?<![\w"])(-?(?:NaN|Infinity))(?![\w"])/;

/**
 * Fresh, deeply frozen data. Of members of one name the last counts, as in Python.
 *
 * @throws {CadreError} TOO_LARGE, before anything is parsed
 * @throws {CadreError} UNDECODABLE, also for `NaN`, infinities, and integers beyond a double's
 */
export function decodeExactJson(bytes: Uint8Array, limits: CodecLimits): JsonValue {
  const text = decodeText(bytes, limits);
  try {
    const json = parseJson(text);
    if (longDigits.test(text)) assertExact(text);
    return json;
  } catch (error) {
    const word = isValid(text) ? undefined : notJson.exec(text)?.[1];
    if (word === undefined) throw error;
    throw undecodable(`it has ${word}, which JSON does not have`, error);
  }
}

function isValid(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** `JSON.parse` tells the source of each number; nothing else keeps it. */
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

function assertExact(text: string): void {
  const look: Reviver = (key, value, { source }) => {
    if (typeof value !== "number" || source === undefined || !/^-?\d+$/.test(source)) return value;
    if (Number.isSafeInteger(value) || String(value) === source) return value;
    throw undecodable(
      `its number ${source} at "${key}" is beyond what a double holds; send it as text`,
    );
  };
  JSON.parse(text, look as (key: string, value: unknown) => unknown);
}
