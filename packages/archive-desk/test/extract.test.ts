import assert from "node:assert/strict";
import { test } from "node:test";
import { openCorpus } from "#src/corpus.ts";
import { createCompromiseExtractor } from "#src/extract-compromise.ts";
import { createWinkExtractor } from "#src/extract-wink.ts";
import { tidyName } from "#src/mention.ts";

const compromise = createCompromiseExtractor();
const wink = createWinkExtractor();
const text =
  "In 1863 President Abraham Lincoln of Illinois wrote to Mr. Seward about Mexico's debts. " +
  "The Department of State and the Supreme Court of the United States agreed.";

for (const extractor of [compromise, wink]) {
  test(`${extractor.name} finds people and places and says exactly where`, () => {
    const found = extractor.extract(text);
    const names = found.map(({ kind, name }) => `${kind}:${name}`);
    for (const name of ["person:Abraham Lincoln", "person:Seward", "place:Mexico"]) {
      assert.ok(names.includes(name), `${name} in ${names.join(", ")}`);
    }
    for (const mention of found) {
      assert.equal(text.slice(mention.start, mention.end), mention.text);
    }
  });

  test(`${extractor.name} gives real text the same mentions twice, in order`, async () => {
    const address = await (await openCorpus()).read("1945-franklin-d-roosevelt");
    const part = address?.text.slice(0, 12_000) ?? "";
    const found = extractor.extract(part);
    assert.ok(found.length > 10);
    assert.deepEqual(extractor.extract(part), found);
    let reached = 0;
    for (const { start, end, text: said, name } of found) {
      assert.ok(start >= reached && end > start);
      assert.equal(part.slice(start, end), said);
      assert.ok(name.trim() === name && name.length > 1);
      reached = end;
    }
  });

  test(`${extractor.name} finds nothing in nothing and names its version`, () => {
    assert.deepEqual(extractor.extract(""), []);
    assert.deepEqual(extractor.extract("there is nobody here."), []);
    assert.match(extractor.version, /^\d+\.\d+\.\d+\+\d+$/);
  });
}

test("wink-nlp's runs reach over 'of the' to the whole organisation", () => {
  const names = wink.extract(text).map(({ kind, name }) => `${kind}:${name}`);
  assert.ok(names.includes("organisation:Department of State"), names.join(", "));
});

test("wink-nlp takes a surname alone for a person once the text has said the full name", () => {
  const said = "It was James Madison who came. Nobody but Madison spoke.";
  const names = wink.extract(said).map(({ kind, name }) => `${kind}:${name}`);
  assert.deepEqual(names, ["person:James Madison", "person:Madison"]);
});

test("a tidy name has no article, title, possessive or line break", () => {
  const expected: readonly (readonly [string, string])[] = [
    ["the United\nStates'", "United States"],
    ["U.S.", "United States"],
    ["Mr. Seward's", "Seward"],
    ["President Abraham Lincoln,", "Abraham Lincoln"],
    ["GREAT BRITAIN", "Great Britain"],
    ["President", "President"],
  ];
  for (const [given, name] of expected) assert.equal(tidyName(given), name);
});

test("wink-nlp finds the same in a text whatever it has read before", () => {
  const said = "The President's Advisory Committee met. Seward's Folly Committee met, too.";
  const experienced = createWinkExtractor();
  for (const before of ["The power is the President's.", "It was (Seward's), they said."]) {
    experienced.extract(before);
  }
  assert.deepEqual(experienced.extract(said), createWinkExtractor().extract(said));
});
