/**
 * Reads records out of the bytes of a fetch. Most records have the headers of the one before, so
 * that texts that are there again are not decoded again.
 */
import type { Partition } from "./log-access.ts";
import type { LogRecord } from "./wire.ts";

/** What compressed bytes are; `compression` is the number in the batch's attributes. */
export type Inflate = (compression: number, data: Buffer) => Buffer;

export interface RecordPage {
  readonly records: LogRecord[];
  /** Behind the last offset, also of what is no record of anybody's. */
  readonly next: number;
}

// Places in a batch, from its beginning.
const lengthAt = 8;
const countedFrom = 12;
const attributesAt = 21;
const recordsAt = 61;

const isControl = 1 << 5;
const hasAppendTime = 1 << 3;
const isCompressed = 0b111;

/** A batch may begin before the offset `from`, and the last one may be cut off. */
export function readRecords(
  data: Buffer,
  partition: Partition,
  from: number,
  inflate: Inflate,
): RecordPage {
  const records: LogRecord[] = [];
  let next = from;
  for (let at = 0; at + recordsAt <= data.length;) {
    const end = at + countedFrom + data.readInt32BE(at + lengthAt);
    if (end > data.length) break;
    const first = Number(data.readBigInt64BE(at));
    const attributes = data.readInt16BE(at + attributesAt);
    next = Math.max(next, first + data.readInt32BE(at + 23) + 1);
    // Marks of transactions are no records.
    if ((attributes & isControl) === 0) {
      const compression = attributes & isCompressed;
      const body = data.subarray(at + recordsAt, end);
      const reader = new RecordReader(compression ? inflate(compression, body) : body);
      const appended = attributes & hasAppendTime ? Number(data.readBigInt64BE(at + 35)) : -1;
      const firstTime = Number(data.readBigInt64BE(at + 27));
      for (let left = data.readInt32BE(at + 57); left > 0; left -= 1) {
        reader.read(partition, { from, first, firstTime, appended }, records);
      }
    }
    at = end;
  }
  return { records, next };
}

interface BatchTimes {
  readonly from: number;
  readonly first: number;
  readonly firstTime: number;
  /** The broker's time for all of them; negative where each has its own. */
  readonly appended: number;
}

/** A text and where its bytes are. */
interface Seen {
  at: number;
  length: number;
  text: string;
}

const mostSame = 128; // bytes of a text that may well be the same as before

class RecordReader {
  readonly #data: Buffer;
  #at = 0;
  readonly #names: Seen[] = [];
  readonly #texts: Seen[] = [];

  constructor(data: Buffer) {
    this.#data = data;
  }

  read(
    { topic, partition }: Partition,
    { from, first, firstTime, appended }: BatchTimes,
    records: LogRecord[],
  ): void {
    const length = this.#number();
    const end = this.#at + length;
    if (!(end <= this.#data.length)) throw new RangeError("a record is longer than its batch");
    this.#at += 1; // attributes, of which there are none
    const sinceFirst = this.#number();
    const offset = first + this.#number();
    if (offset >= from) {
      const key = this.#bytes();
      const value = this.#bytes();
      const timestamp = appended >= 0 ? appended : firstTime + sinceFirst;
      const headers = this.#headers();
      records.push({ topic, partition, offset, timestamp, key, value, headers });
    }
    this.#at = end;
  }

  /** Zigzag; times may be longer than 32 bits. */
  #number(): number {
    const data = this.#data;
    let byte = data[this.#at++]!;
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
    let value = byte & 0x7f;
    for (let factor = 128; byte >= 0x80; factor *= 128) {
      byte = data[this.#at++]!;
      value += (byte & 0x7f) * factor;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #bytes(): Buffer | null {
    const length = this.#number();
    if (length < 0) return null;
    this.#at += length;
    return this.#data.subarray(this.#at - length, this.#at);
  }

  #headers(): Record<string, string> {
    const headers: Record<string, string> = {};
    const count = this.#number();
    for (let index = 0; index < count; index += 1) {
      const name = this.#text(this.#names, index);
      const value = this.#text(this.#texts, index);
      if (name === "__proto__") own(headers, name, value);
      else headers[name] = value;
    }
    return headers;
  }

  #text(seen: Seen[], index: number): string {
    const length = this.#number();
    if (length <= 0) return "";
    const at = this.#at;
    this.#at += length;
    const before = seen[index];
    if (before?.length === length && this.#isSame(before.at, at, length)) return before.text;
    const text = this.#data.toString("utf8", at, at + length);
    if (before) {
      before.at = at;
      before.length = length;
      before.text = text;
    } else seen[index] = { at, length, text };
    return text;
  }

  #isSame(one: number, other: number, length: number): boolean {
    if (length > mostSame) return false;
    const data = this.#data;
    for (let index = 0; index < length; index += 1) {
      if (data[one + index] !== data[other + index]) return false;
    }
    return true;
  }
}

/** Sets what an assignment would take for the prototype. */
function own(headers: Record<string, string>, name: string, value: string): void {
  const how = { value, enumerable: true, writable: true, configurable: true };
  Object.defineProperty(headers, name, how);
}
