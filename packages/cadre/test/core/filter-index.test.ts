import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FilterIndex } from "#src/core/filter-index.ts";
import { compileFilter, type FilterDocument, type FilterSubject } from "#src/core/filter.ts";

const seed =
  process.env["CADRE_SEED"] === undefined ? {} : { seed: Number(process.env["CADRE_SEED"]) };

function eventOf(payload: unknown): FilterSubject {
  const metadata = { version: "1.0.0", correlationId: "e-1" };
  return { id: "e-1", type: "t", source: "s", timestamp: 1, payload, metadata };
}

const scalar = fc.constantFrom<unknown>(0, 1, "0", "1", "a", true, null);
const conditions = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 4 }).map(($in) => ({ $in })),
  fc.constantFrom<unknown>({ $gt: 0 }, { $ne: 1 }, { $exists: true }, { $all: [1, 0] }),
);
const documents: fc.Arbitrary<FilterDocument> = fc
  .dictionary(fc.constantFrom("payload.x", "payload.y", "payload.x.z", "source"), conditions, {
    maxKeys: 3,
    noNullPrototype: true,
  })
  .map((document) => ("source" in document ? { ...document, source: "s" } : document));
const value = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 3 }),
  fc.array(fc.record({ z: scalar }), { maxLength: 2 }),
);
const payloads = fc.record({ x: value, y: value }, { requiredKeys: [] });
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("add" as const), document: documents }),
    fc.record({ kind: fc.constant("remove" as const), at: fc.nat() }),
    fc.record({ kind: fc.constant("match" as const), payload: payloads }),
  ),
  { maxLength: 60 },
);

test("after any adds and removes the index finds what asking every filter finds", () => {
  fc.assert(
    fc.property(steps, (list) => {
      const index = new FilterIndex<number>();
      const model: {
        id: number;
        matches: (event: FilterSubject) => boolean;
        remove: () => void;
      }[] = [];
      let id = 0;
      for (const step of list) {
        if (step.kind === "add") {
          const filter = compileFilter(step.document);
          model.push({ id, matches: filter.matches, remove: index.add(filter, id) });
          id++;
        } else if (step.kind === "remove") {
          const [gone] = model.splice(step.at % Math.max(1, model.length), 1);
          gone?.remove();
          gone?.remove();
        } else {
          const event = eventOf(step.payload);
          const expected = model.filter(({ matches }) => matches(event)).map((entry) => entry.id);
          assert.deepEqual(
            index.match(event).toSorted((a, b) => a - b),
            expected,
          );
        }
        assert.equal(index.size, model.length);
      }
    }),
    { numRuns: 1_500, ...seed },
  );
});

test("an event asks only the filters under its own values", () => {
  const index = new FilterIndex<number>();
  let asked = 0;
  for (let i = 0; i < 1_000; i++) {
    const filter = compileFilter({ source: "s", "payload.agent": `a-${i}` });
    const counted = (event: FilterSubject): boolean => {
      asked++;
      return filter.matches(event);
    };
    index.add({ matches: counted, equalities: filter.equalities }, i);
  }
  assert.deepEqual(index.match(eventOf({ agent: "a-7" })), [7]);
  // The first few stand under the path that all share, before another path pays.
  assert.ok(asked <= 10, `${asked}`);
});

test("an event whose array holds several wanted values is found once", () => {
  const index = new FilterIndex<string>();
  index.add(compileFilter({ "payload.tags": { $in: ["a", "b", "a"] } }), "x");
  assert.deepEqual(index.match(eventOf({ tags: ["a", "b", "a"] })), ["x"]);
});

test("one value under two filters is found once for each", () => {
  const index = new FilterIndex<string>();
  index.add(compileFilter({ "payload.x": 1 }), "v");
  const remove = index.add(compileFilter({ "payload.y": 1 }), "v");
  assert.deepEqual(index.match(eventOf({ x: 1, y: 1 })), ["v", "v"]);
  remove();
  assert.deepEqual(index.match(eventOf({ x: 1, y: 1 })), ["v"]);
});
