/** Batches of records, as written and read here, beside what the client library makes of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compressionsAlgorithmsByBitmask,
  crc32c,
  createRecordsBatch,
  Reader,
  readRecordsBatches,
} from "@platformatic/kafka";
import fc from "fast-check";
import { LeaseWatch } from "#src/drivers/kafka/lease-watch.ts";
import { encodeBatch, recordBytes } from "#src/drivers/kafka/record-batch.ts";
import { readRecords, type Inflate } from "#src/drivers/kafka/record-reader.ts";
import type { LogMessage } from "#src/drivers/kafka/wire.ts";
import { VirtualClock } from "cadre/testing";

const seed = process.env["CADRE_SEED"];
const runs = { numRuns: 100, ...(seed === undefined ? {} : { seed: Number(seed) }) };
const place = { topic: "t", partition: 3 };
const head = { producerId: 7n, producerEpoch: 2, sequence: 41, timestamp: 1_700_000_000_123 };

const inflate: Inflate = (compression, data) =>
  compressionsAlgorithmsByBitmask[compression]!.decompressSync(data);

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ unit: "grapheme-ascii", maxLength: 200 }),
  fc.constant("é".repeat(63)),
);
const message: fc.Arbitrary<LogMessage> = fc
  .record(
    {
      key: text,
      value: fc.option(fc.uint8Array({ maxLength: 9_000 }), { nil: undefined }),
      headers: fc.dictionary(fc.string({ maxLength: 70 }), text, { noNullPrototype: true }),
    },
    { requiredKeys: ["value", "headers"] },
  )
  .map((parts) => ({ ...place, ...parts, value: parts.value && Buffer.from(parts.value) }));

function batchOf(messages: readonly LogMessage[]): Buffer {
  const bytes = messages.reduce((sum, each) => sum + recordBytes(each), 0);
  return encodeBatch(messages, bytes, head, crc32c);
}

/** As it comes back: UTF-8 has no halves of pairs. */
function seen({ key, value, headers }: LogMessage): object {
  return {
    key: key === undefined ? null : key.toWellFormed(),
    value: value === undefined ? null : Buffer.from(value).toString("hex"),
    headers: Object.entries(headers).map(([name, each]) => [
      name.toWellFormed(),
      each.toWellFormed(),
    ]),
  };
}

test("the client library reads what is written here, with its checksum", () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 20 }), (messages) => {
      const batch = batchOf(messages);
      const [read, ...more] = readRecordsBatches(Reader.from(batch));
      assert.equal(more.length, 0);
      assert.equal(read!.crc, crc32c(Buffer.from(batch.subarray(21))));
      assert.equal(read!.length, batch.length - 12);
      assert.deepEqual(
        [read!.producerId, read!.producerEpoch, read!.firstSequence, read!.lastOffsetDelta],
        [7n, 2, 41, messages.length - 1],
      );
      assert.equal(read!.firstTimestamp, BigInt(head.timestamp));
      const back = read!.records.map(({ key, value, headers, offsetDelta }) => {
        const pairs = headers as unknown as readonly (readonly [Buffer, Buffer])[];
        const texts = pairs.map((pair) => pair.map(String));
        return {
          offsetDelta,
          key: key === null ? null : String(key),
          value: value === null ? null : value.toString("hex"),
          headers: texts,
        };
      });
      assert.deepEqual(
        back,
        messages.map((each, offsetDelta) => ({ offsetDelta, ...seen(each) })),
      );
    }),
    runs,
  );
});

test("what is written here is read here", () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 20 }), (messages) => {
      const { records, next } = readRecords(batchOf(messages), place, 0, inflate);
      assert.equal(next, messages.length);
      for (const [offset, record] of records.entries()) {
        const expected = messages[offset]!;
        assert.equal(record.offset, offset);
        assert.equal(record.timestamp, head.timestamp);
        assert.deepEqual(record.value, expected.value ?? null);
        const { headers } = seen(expected) as { headers: [string, string][] };
        // Of two names that are one in UTF-8, the last counts.
        assert.deepEqual(record.headers, Object.fromEntries(headers));
      }
      assert.equal(records.length, messages.length);
    }),
    runs,
  );
});

test("a header named __proto__ is a header like any other", () => {
  const headers = Object.fromEntries([["__proto__", "a text"]]);
  const { records } = readRecords(
    batchOf([{ ...place, value: undefined, headers }]),
    place,
    0,
    inflate,
  );
  assert.deepEqual(Object.entries(records[0]!.headers), [["__proto__", "a text"]]);
});

for (const compression of ["none", "gzip", "snappy", "lz4"] as const) {
  test(`a batch of another program is read, compressed with ${compression}`, () => {
    const messages = Array.from({ length: 5 }, (_, index) => ({
      ...place,
      key: Buffer.from(`key-${index}`),
      value: Buffer.from(`value-${index}`),
      headers: new Map([[Buffer.from("name"), Buffer.from(index < 3 ? "same" : `${index}`)]]),
      timestamp: 1_700_000_000_000n + BigInt(index) * 400_000_000n,
    }));
    const data = createRecordsBatch(messages, { compression }).buffer;
    const { records, next } = readRecords(data, place, 2, inflate);
    assert.equal(next, 5);
    assert.deepEqual(
      records.map(({ offset, key, value, headers, timestamp }) => {
        return [offset, String(key), String(value), headers["name"], timestamp];
      }),
      [2, 3, 4].map((index) => {
        const name = index < 3 ? "same" : String(index);
        const time = 1_700_000_000_000 + index * 400_000_000;
        return [index, `key-${index}`, `value-${index}`, name, time];
      }),
    );
  });
}

test("a batch that is cut off is left for the next fetch, and marks are passed over", () => {
  const one = { ...place, value: Buffer.from("one"), headers: {} };
  const whole = batchOf([one, one]);
  const marks = Buffer.from(batchOf([one]));
  marks.writeBigInt64BE(2n, 0);
  marks.writeInt16BE(1 << 5, 21);
  const cut = Buffer.from(batchOf([one])).subarray(0, -1);
  const page = readRecords(Buffer.concat([whole, marks, cut]), place, 1, inflate);
  assert.deepEqual(
    page.records.map(({ offset }) => offset),
    [1],
  );
  assert.equal(page.next, 3);
});

test("a record that says that it is longer than its batch is refused", () => {
  const broken = Buffer.from(batchOf([{ ...place, value: Buffer.from("one"), headers: {} }]));
  broken[61] = 0x7e;
  assert.throws(() => readRecords(broken, place, 0, inflate), RangeError);
});

test("one timer watches all leases, and those that were extended end later", async () => {
  const clock = new VirtualClock();
  const out: string[] = [];
  const leaseOf = (name: string, until: number): { until: number; runOut(): void } => {
    const lease = { until, runOut: () => void (out.push(name), leases.delete(lease)) };
    return lease;
  };
  const leases = new Set<{ until: number; runOut(): void }>();
  const watch = new LeaseWatch(clock, leases);
  const [first, second, third] = [leaseOf("1", 100), leaseOf("2", 200), leaseOf("3", 50)];
  for (const lease of [first, second, third]) {
    leases.add(lease);
    watch.expect(lease.until);
  }
  assert.equal(clock.pending, 1);
  first.until = 300;
  await clock.advance(49);
  assert.deepEqual(out, []);
  await clock.advance(1);
  assert.deepEqual(out, ["3"]);
  await clock.advance(150);
  assert.deepEqual(out, ["3", "2"]);
  watch.end();
  await clock.advance(1_000);
  assert.deepEqual(out, ["3", "2"]);
  assert.equal(clock.pending, 0);
});
