/**
 * A batch of records in the form in which Kafka keeps them (format 2), in one buffer:
 *
 *   offset ─ length ─ epoch ─ 2 ─ crc ─ what ─ last ─ times ─ producer ─ sequence ─ count ─ records
 *                                       └────────────── the checksum covers ──────────────┘
 *
 *   record: length ─ 0 ─ time ─ place ─ key ─ value ─ headers, with zigzag numbers of 7 bits a byte
 */
import type { LogMessage } from "./wire.ts";

export interface BatchHead {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** The producer's number of the first record. */
  readonly sequence: number;
  /** Unix milliseconds of all records. */
  readonly timestamp: number;
}

/** The checksum CRC-32C. */
export type Checksum = (data: Buffer) => number;

const headBytes = 61;
const checkedFrom = 21;
const spareBytes = 4_096;
const fixedBytes = 40; // of a record: numbers, at their longest

/** About how many bytes the record takes: exact but for texts beyond ASCII. */
export function recordBytes({ key, value, headers }: LogMessage): number {
  let bytes = fixedBytes + (value?.length ?? 0) + (key?.length ?? 0);
  for (const name in headers) bytes += name.length + headers[name]!.length + 4;
  return bytes;
}

/** @param messages with about as many bytes as `bytes` says */
export function encodeBatch(
  messages: readonly LogMessage[],
  bytes: number,
  head: BatchHead,
  checksum: Checksum,
): Buffer {
  const writer = new RecordWriter(headBytes + bytes + spareBytes);
  for (let index = 0; index < messages.length; index += 1) writer.record(messages[index]!, index);
  const batch = writer.written;
  batch.fill(0, 0, 8); // the broker's to say
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt32BE(-1, 12);
  batch[16] = 2;
  batch.writeInt16BE(0, checkedFrom); // not compressed, in no transaction
  batch.writeInt32BE(messages.length - 1, 23);
  batch.writeBigInt64BE(BigInt(head.timestamp), 27);
  batch.writeBigInt64BE(BigInt(head.timestamp), 35);
  batch.writeBigInt64BE(head.producerId, 43);
  batch.writeInt16BE(head.producerEpoch, 51);
  batch.writeInt32BE(head.sequence, 53);
  batch.writeInt32BE(messages.length, 57);
  batch.writeUInt32BE(checksum(batch.subarray(checkedFrom)), 17);
  return batch;
}

class RecordWriter {
  #buffer: Buffer;
  #at = headBytes;

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  get written(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  record(message: LogMessage, place: number): void {
    const bytes = recordBytes(message);
    // A unit of text takes three bytes at most.
    this.#reserve(bytes * 3 - 2 * (message.value?.length ?? 0));
    const start = this.#at;
    const guessed = numberBytes(bytes);
    this.#at += guessed;
    this.#buffer[this.#at] = 0;
    this.#buffer[this.#at + 1] = 0; // all have the time of the first
    this.#at += 2;
    this.#number(place);
    if (message.key === undefined) this.#number(-1);
    else this.#text(message.key);
    if (message.value === undefined) this.#number(-1);
    else this.#bytes(message.value);
    this.#headers(message.headers);
    this.#putLength(start, guessed);
  }

  #headers(headers: Readonly<Record<string, string>>): void {
    let count = 0;
    for (const _ in headers) count += 1;
    this.#number(count);
    for (const name in headers) {
      const written = headerName(name);
      this.#buffer.set(written, this.#at);
      this.#at += written.length;
      this.#text(headers[name]!);
    }
  }

  /** The length stands before what it counts, and takes one byte more or less than was guessed. */
  #putLength(start: number, guessed: number): void {
    const length = this.#at - start - guessed;
    const needed = numberBytes(length);
    if (needed !== guessed) {
      this.#buffer.copyWithin(start + needed, start + guessed, this.#at);
    }
    this.#at = start;
    this.#number(length);
    this.#at += length;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(this.#buffer.length * 2 + bytes);
    larger.set(this.written);
    this.#buffer = larger;
  }

  #number(value: number): void {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0;
    while (rest > 0x7f) {
      this.#buffer[this.#at] = (rest & 0x7f) | 0x80;
      this.#at += 1;
      rest >>>= 7;
    }
    this.#buffer[this.#at] = rest;
    this.#at += 1;
  }

  #bytes(bytes: Uint8Array): void {
    this.#number(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #text(text: string): void {
    if (text.length <= shortText && this.#ascii(text)) return;
    this.#number(Buffer.byteLength(text));
    this.#at += this.#buffer.write(text, this.#at);
  }

  /** Short ones are written faster one by one. False when it is not ASCII. */
  #ascii(text: string): boolean {
    const start = this.#at;
    const buffer = this.#buffer;
    buffer[start] = text.length * 2;
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return false;
      buffer[start + 1 + index] = code;
    }
    this.#at = start + 1 + text.length;
    return true;
  }
}

const shortText = 63; // its length is one byte

function numberBytes(length: number): number {
  let bytes = 1;
  for (let rest = length * 2; rest > 0x7f; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}

const mostNames = 256;
const names = new Map<string, Buffer>();

/** With its length; the same few come again and again. */
function headerName(name: string): Buffer {
  const known = names.get(name);
  if (known) return known;
  const written = Buffer.concat([zigzag(Buffer.byteLength(name)), Buffer.from(name)]);
  if (names.size >= mostNames) names.clear();
  names.set(name, written);
  return written;
}

function zigzag(length: number): Buffer {
  const bytes: number[] = [];
  let rest = length * 2;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}
