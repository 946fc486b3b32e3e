import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileFilter } from "#src/core/filter.ts";
import { eventOf, matches, refuses } from "./filter-subject.ts";

const seed =
  process.env["CADRE_SEED"] === undefined ? {} : { seed: Number(process.env["CADRE_SEED"]) };

test("regular expressions that could run away are refused or run in time", () => {
  for (const pattern of [
    "(?=a)",
    "(?<!a)b",
    "(a)\\1",
    "\\k<a>",
    "(?i)a",
    "(",
    ")",
    "[",
    "a**",
    "*",
    "a\\",
    "[b-a]",
    "\\p{L}",
  ]) {
    refuses({ "payload.x": { $regex: pattern } }, "payload.x", "$regex");
  }
  refuses({ "payload.x": { $regex: "a".repeat(257) } }, "payload.x", "$regex");
  refuses({ "payload.x": { $regex: "(a{99}){99}" } }, "payload.x", "$regex");
  refuses({ "payload.x": { $regex: "((()){9999}){9999}" } }, "payload.x", "$regex");
  refuses({ "payload.x": { $regex: "(".repeat(100) + ")".repeat(100) } }, "payload.x", "$regex");
  refuses({ "payload.x": { $regex: "a", $options: "x" } }, "payload.x", "$options");
  refuses({ "payload.x": { $regex: 1 } }, "payload.x", "$regex");
  const text = `${"a".repeat(2_000)}!`;
  for (const pattern of [
    "^(a+)+$",
    "^(a|a)*$",
    "^(a|aa)+$",
    "^a*a*a*a*a*a*$",
    "^(.*a){8}$",
    "^(a?){30}a{30}$",
  ]) {
    assert.equal(matches({ "payload.x": { $regex: pattern } }, { x: text }), false, pattern);
  }
  const all = compileFilter({ "payload.x": { $regex: "a" } });
  assert.ok(all.matches(eventOf({ x: "a".repeat(16_384) })));
  assert.ok(!all.matches(eventOf({ x: "a".repeat(16_385) })));
});

const regexes = fc.letrec<{ part: string; choice: string }>((tie) => ({
  part: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w", "\\d", "\\.", "[a-c\\d]", "\\s", "B"),
    tie("choice").map((choice) => `(${choice})`),
    fc
      .tuple(tie("part"), fc.constantFrom("*", "+", "?", "{2}", "{1,2}", "{1,}", "*?"))
      .map(([part, times]) =>
        part.length > 2 && !part.startsWith("(") && !part.startsWith("[")
          ? part
          : /[*+?}]$/.test(part)
            ? part
            : part + times,
      ),
  ),
  choice: fc
    .array(
      fc.array(tie("part"), { maxLength: 3 }).map((parts) => parts.join("")),
      { minLength: 1, maxLength: 2 },
    )
    .map((choices) => choices.join("|")),
})).choice;

test("bounded regular expressions say what JavaScript's say", () => {
  fc.assert(
    fc.property(
      regexes,
      fc.constantFrom("", "^", "\\b"),
      fc.constantFrom("", "$"),
      fc.constantFrom("", "i", "s", "im"),
      fc.string({
        unit: fc.constantFrom("a", "b", "c", "A", "1", ".", " ", "\n", "é"),
        maxLength: 8,
      }),
      (body, start, end, options, text) => {
        const pattern = `${start}(${body})${end}`;
        // `$` before a final line break is MongoDB's, not JavaScript's.
        fc.pre(pattern.length <= 256 && !(end === "$" && text.endsWith("\n")));
        const expected = new RegExp(pattern, `${options}u`).test(text);
        assert.equal(
          matches({ "payload.x": { $regex: pattern, $options: options } }, { x: text }),
          expected,
          pattern,
        );
      },
    ),
    { numRuns: 1_500, ...seed },
  );
});
