import assert from "node:assert/strict";
import { test } from "node:test";
import { isCadreError } from "#src/core/errors.ts";
import { assertTopic, isTopic } from "#src/core/topic.ts";

function refused(topic: unknown): boolean {
  try {
    assertTopic(topic as string);
    return false;
  } catch (error) {
    assert.ok(isCadreError(error, "INVALID_TOPIC"));
    assert.equal(error.details.topic, topic);
    return true;
  }
}

test("ordinary types are topics", () => {
  for (const topic of ["a", "task.created", "agent.reader-1.x_y", "größe.neu", "tool.😀", "A.B"]) {
    assert.ok(isTopic(topic), topic);
    assertTopic(topic);
  }
});

test("empty topics and empty words are refused", () => {
  for (const topic of ["", ".", ".a", "a.", "a..b", "ä..b", "ä."]) assert.ok(refused(topic), topic);
});

test("wildcards are refused, alone and inside a word", () => {
  for (const topic of ["*", "#", "a.*", "a.#", "a*.b", "a.b#", "ä.*"])
    assert.ok(refused(topic), topic);
});

test("white space and control characters are refused", () => {
  for (const code of [
    0, 9, 10, 13, 0x20, 0x7f, 0x85, 0xa0, 0x1680, 0x2003, 0x2028, 0x3000, 0xfeff,
  ]) {
    assert.ok(refused(`a${String.fromCharCode(code)}b.c`), code.toString(16));
  }
});

test("half a surrogate pair is refused", () => {
  assert.ok(refused("a.\ud83d"));
});

test("32 words are a topic, 33 are not", () => {
  assert.ok(isTopic(Array(32).fill("a").join(".")));
  assert.ok(refused(Array(33).fill("a").join(".")));
  assert.ok(refused(Array(33).fill("ä").join(".")));
});

test("the length counts bytes of UTF-8: 255 are a topic, 256 are not", () => {
  assert.ok(isTopic("a".repeat(255)));
  assert.ok(refused("a".repeat(256)));
  assert.ok(isTopic(`${"ä".repeat(127)}a`));
  assert.ok(refused("ä".repeat(128)));
  assert.ok(refused("😀".repeat(64)));
});

test("what is no string is refused", () => {
  for (const topic of [undefined, null, 1, ["a"]]) assert.ok(refused(topic));
});
