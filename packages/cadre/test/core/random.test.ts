import assert from "node:assert/strict";
import { test } from "node:test";

import { secureRandom, SeededRandom, type Random } from "cadre";

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const sources: readonly (readonly [string, () => Random])[] = [
  ["secure", () => secureRandom],
  ["seeded", () => new SeededRandom(11)],
];
const future = 4_000_000_000_000; // later than any id that this process has made

for (const [name, make] of sources) {
  test(`${name} ids are UUIDv7 and strictly increase, whatever the clock does`, () => {
    const random = make();
    let last = "";
    let now = future;
    for (let index = 0; index < 20_000; index += 1) {
      // Long runs within one millisecond, small steps on, and a jump back.
      if (index % 7_000 === 6_999) now -= 500;
      else if (index % 5_000 === 0) now += 1;
      const id = random.id(now);
      assert.match(id, uuidV7);
      assert.ok(id > last, `${id} does not follow ${last}`);
      last = id;
    }
  });

  test(`${name} draws stay within their bounds and vary`, () => {
    const random = make();
    const seen = new Set<number>();
    for (let index = 0; index < 5_000; index += 1) {
      const share = random.next();
      assert.ok(share >= 0 && share < 1);
      seen.add(random.integer(10));
    }
    assert.deepEqual(
      [...seen].toSorted((a, b) => a - b),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.equal(random.integer(1), 0);
  });
}

test("an id carries its millisecond", () => {
  const id = new SeededRandom(1).id(1_700_000_000_123);
  assert.equal(parseInt(id.slice(0, 8) + id.slice(9, 13), 16), 1_700_000_000_123);
});

test("equal seeds give equal draws and ids, others do not", () => {
  const draws = (random: Random): unknown[] => [
    random.next(),
    random.integer(99),
    random.id(5),
    random.id(6),
  ];
  assert.deepEqual(draws(new SeededRandom(42)), draws(new SeededRandom(42)));
  assert.notDeepEqual(draws(new SeededRandom(42)), draws(new SeededRandom(43)));
});

test("a fork and its parent do not change each other's draws", () => {
  const one = new SeededRandom(7);
  const two = new SeededRandom(7);
  const fork = one.fork("store");
  const draws = [fork.next(), fork.next()];
  assert.equal(one.next(), two.next());
  assert.deepEqual([new SeededRandom(7).fork("store").next()], draws.slice(0, 1));
  assert.notEqual(new SeededRandom(7).fork("bus").next(), draws[0]);
});
