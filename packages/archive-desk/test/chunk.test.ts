import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { chunkDocument } from "#src/chunk.ts";
import { splitSentences } from "#src/sentence.ts";

const seed = process.env["CADRE_SEED"] === undefined ? {} : { seed: +process.env["CADRE_SEED"] };

function sentences(text: string): string[] {
  return splitSentences(text).map(({ start, end }) => text.slice(start, end));
}

test("a sentence doesn't end at an abbreviation or an initial", () => {
  const text = 'Gen. U. S. Grant met Mr. Lincoln at St. Louis. "It is done." He left.';
  const expected = ["Gen. U. S. Grant met Mr. Lincoln at St. Louis.", '"It is done."', "He left."];
  assert.deepEqual(sentences(text), expected);
});

test("a paragraph ends a sentence that has no stop", () => {
  assert.deepEqual(sentences("# A heading\n\nThe text"), ["# A heading", "The text"]);
});

test("a chunk says its span, its hash and its place", () => {
  const document = { id: "d", title: "D", text: "  One here. Two here. Three here.  " };
  const chunks = chunkDocument(document, { targetChars: 20 });
  assert.deepEqual(
    chunks.map(({ id, start, end, text }) => [id, start, end, text]),
    [
      ["d#0", 2, 21, "One here. Two here."],
      ["d#1", 22, 33, "Three here."],
    ],
  );
  const hash = createHash("sha256").update("Three here.").digest("hex");
  assert.equal(chunks[1]?.hash, hash);
});

test("the end of a paragraph near the target is where a chunk ends", () => {
  const text = `${"A word. ".repeat(11)}\n\nNext one. And on.`;
  const [first] = chunkDocument({ id: "d", title: "D", text }, { targetChars: 100 });
  assert.equal(first?.text.endsWith("A word."), true);
});

test("a text without stops is cut at white space and never inside a character", () => {
  const words = chunkDocument(
    { id: "d", title: "D", text: "word ".repeat(50) },
    { targetChars: 8 },
  );
  assert.ok(words.every(({ text }) => text.length <= 32 && /^word( word)*$/.test(text)));
  const text = "x😀".repeat(40);
  const faces = chunkDocument({ id: "d", title: "D", text }, { targetChars: 4 });
  assert.ok(faces.every(({ text }) => text.isWellFormed()));
  assert.equal(faces.map(({ text }) => text).join(""), text);
});

test("chunks of any text are in order, exact, bounded, and leave out only white space", () => {
  const word = fc.constantFrom("War", "peace", "Mr.", "end.", "So?", "\n\n", "😀", "U.S.");
  const text = fc.array(word, { maxLength: 200 }).map((words) => words.join(" "));
  const check = (whole: string, targetChars: number): void => {
    let reached = 0;
    for (const chunk of chunkDocument({ id: "d", title: "D", text: whole }, { targetChars })) {
      assert.equal(whole.slice(chunk.start, chunk.end), chunk.text);
      assert.equal(whole.slice(reached, chunk.start).trim(), "");
      assert.ok(chunk.text.length > 0 && chunk.text.length <= 4 * targetChars);
      reached = chunk.end;
    }
    assert.equal(whole.slice(reached).trim(), "");
  };
  fc.assert(fc.property(text, fc.integer({ min: 4, max: 300 }), check), seed);
});

test("an empty text has no chunks, and an impossible size is refused", () => {
  assert.deepEqual(chunkDocument({ id: "d", title: "D", text: " \n " }), []);
  const document = { id: "d", title: "D", text: "x" };
  assert.throws(() => chunkDocument(document, { targetChars: 0 }), { code: "INVALID_CHUNK_SIZE" });
});
