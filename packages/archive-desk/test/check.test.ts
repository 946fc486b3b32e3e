import assert from "node:assert/strict";
import { test } from "node:test";
import { checkExtractions } from "#src/check.ts";
import type { Extraction } from "#src/check.ts";
import type { EntityKind, Mention } from "#src/mention.ts";

const text = "Mr. Seward went to Cuba with the Bank of Cuba. Rivera met Cuba.";

function said(name: string, kind: EntityKind, from = 0): Mention {
  const start = text.indexOf(name, from);
  return { text: name, name, kind, start, end: start + name.length };
}

function by(extractor: string, ...mentions: Mention[]): Extraction {
  return { extractor, version: "1", mentions };
}

test("a mention that both have with one kind is accepted with both names", () => {
  const seward = said("Seward", "person");
  const { accepted, disagreements } = checkExtractions(text, [by("b", seward), by("a", seward)]);
  assert.deepEqual(accepted, [{ ...seward, confidence: 0.95, extractors: ["a@1", "b@1"] }]);
  assert.deepEqual(disagreements, []);
});

test("where spans overlap with one kind the longer one is taken, with less confidence", () => {
  const long = said("Bank of Cuba", "organisation");
  const short = { ...long, text: "Bank", name: "Bank", end: long.start + 4 };
  const { accepted } = checkExtractions(text, [by("a", short), by("b", long)]);
  assert.deepEqual(
    accepted.map(({ name, confidence }) => [name, confidence]),
    [["Bank of Cuba", 0.85]],
  );
});

test("a title in the text decides between kinds, and the disagreement stays on record", () => {
  const pair = [by("a", said("Seward", "place")), by("b", said("Seward", "person"))] as const;
  const { accepted, disagreements } = checkExtractions(text, pair);
  assert.deepEqual(
    accepted.map(({ kind, extractors }) => [kind, extractors]),
    [["person", ["b@1"]]],
  );
  assert.equal(disagreements[0]?.reason, "kind differs");
  assert.equal(disagreements[0]?.decidedBy, "title before the name");
  assert.deepEqual(disagreements[0]?.claims, [
    { extractor: "a@1", kind: "place" },
    { extractor: "b@1", kind: "person" },
  ]);
});

test("what one alone has is accepted only when the text supports it", () => {
  const supported = checkExtractions(text, [by("a", said("Cuba", "place")), by("b")]);
  assert.equal(supported.accepted[0]?.confidence, 0.6);
  assert.equal(supported.disagreements[0]?.reason, "found by one only");
  const bare = checkExtractions(text, [by("a"), by("b", said("Rivera", "person"))]);
  assert.deepEqual(bare.accepted, []);
  assert.equal(bare.disagreements[0]?.decidedBy, undefined);
});

test("a mention whose span doesn't say its text is refused, even when both claim it", () => {
  const wrong = { ...said("Seward", "person"), start: 0, end: 6 };
  const { accepted, disagreements } = checkExtractions(text, [by("a", wrong), by("b", wrong)]);
  assert.deepEqual(accepted, []);
  assert.deepEqual(
    disagreements.map(({ reason }) => reason),
    ["span does not match the text", "span does not match the text"],
  );
});

test("the order of the two extractions makes no difference", () => {
  const a = by("a", said("Cuba", "place"), said("Seward", "person"), said("Cuba", "person", 48));
  const b = by("b", said("Bank of Cuba", "organisation"), said("Seward", "place"));
  assert.deepEqual(checkExtractions(text, [a, b]), checkExtractions(text, [b, a]));
});
