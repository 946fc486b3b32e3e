import assert from "node:assert/strict";
import { test } from "node:test";
import { isCadreError } from "#src/core/errors.ts";
import { checkOptions, nearestName, oneOf, wholeNumber } from "#src/core/options.ts";

interface Sample {
  readonly maxQueued?: number;
  readonly overflow?: string;
}

const rules = { maxQueued: wholeNumber(1, 10), overflow: oneOf("wait", "reject") };

function refusal(options: object): { option: string; message: string } {
  try {
    checkOptions<Sample>("subscribe", options, rules);
  } catch (error) {
    assert.ok(isCadreError(error, "INVALID_OPTION"));
    return { option: error.details.option, message: error.message };
  }
  return assert.fail("accepted");
}

test("options within their rules, left out or undefined pass", () => {
  checkOptions<Sample>("subscribe", {}, rules);
  checkOptions<Sample>("subscribe", { maxQueued: 10, overflow: "wait" }, rules);
  checkOptions<object>("subscribe", { maxQueued: undefined }, rules);
});

test("an unknown option is refused with the nearest right name", () => {
  const { option, message } = refusal({ maxQueue: 1 });
  assert.equal(option, "maxQueue");
  assert.match(message, /Did you mean "maxQueued"\?/);
});

test("an option that resembles none gets no suggestion", () => {
  assert.doesNotMatch(refusal({ zebra: 1 }).message, /Did you mean/);
});

for (const value of [0, 11, 1.5, Number.NaN, "1", null, () => 1, 1n]) {
  test(`a maxQueued of ${String(value)} is refused, saying what is allowed`, () => {
    assert.match(refusal({ maxQueued: value }).message, /at least 1 and at most 10/);
  });
}

test("a word that is none of the allowed is refused with all of them", () => {
  assert.match(refusal({ overflow: "drop" }).message, /"wait", "reject"/);
});

test("names of Object.prototype are no options", () => {
  assert.equal(refusal({ constructor: 1 }).option, "constructor");
  assert.equal(refusal(JSON.parse('{"__proto__": 1}') as object).option, "__proto__");
});

test("options that are no object are refused", () => {
  assert.throws(() => checkOptions("subscribe", [] as object, {}), /must be one object/);
});

test("the nearest name is found whatever the case", () => {
  assert.equal(nearestName("timeoutms", ["timeoutMs", "leaseMs"]), "timeoutMs");
  assert.equal(nearestName("x", ["timeoutMs"]), undefined);
});
