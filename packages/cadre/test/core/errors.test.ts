import assert from "node:assert/strict";
import { test } from "node:test";

import { CadreError, describeError, isCadreError, RetryableError, TerminalError } from "cadre";

test("an error carries code, details and cause", () => {
  const cause = new Error("no route");
  const error = new CadreError("TIMEOUT", "Too slow.", { what: "request", timeoutMs: 5 }, cause);
  assert.ok(error instanceof Error);
  assert.equal(error.name, "CadreError");
  assert.equal(error.code, "TIMEOUT");
  assert.deepEqual(error.details, { what: "request", timeoutMs: 5 });
  assert.equal(error.cause, cause);
  assert.ok(!("cause" in new CadreError("CLOSED", "Closed.", { what: "bus" })));
});

test("an error is known by its code, also when another copy of the package threw it", () => {
  const error = new CadreError("CLOSED", "Closed.", { what: "bus" });
  assert.ok(isCadreError(error) && isCadreError(error, "CLOSED"));
  assert.ok(!isCadreError(error, "TIMEOUT"));
  const foreign = Object.assign(new Error("Closed."), { code: "CLOSED", details: { what: "bus" } });
  assert.ok(!isCadreError(foreign));
  foreign.name = "CadreError";
  assert.ok(isCadreError(foreign, "CLOSED"));
  for (const other of [
    null,
    undefined,
    "CLOSED",
    { code: "CLOSED", details: {} },
    new Error("x"),
  ]) {
    assert.ok(!isCadreError(other));
  }
});

test("terminal and retryable errors are Cadre's, with their reasons", () => {
  const cause = new Error("bad input");
  const terminal = new TerminalError("Never.", { reason: "bad-input", cause });
  assert.ok(isCadreError(terminal, "TERMINAL"));
  assert.equal(terminal.name, "TerminalError");
  assert.deepEqual(terminal.details, { reason: "bad-input" });
  assert.equal(terminal.cause, cause);
  const retryable = new RetryableError("Later.", { retryAfterMs: 50 });
  assert.ok(isCadreError(retryable, "RETRYABLE"));
  assert.deepEqual(retryable.details, { retryAfterMs: 50 });
  assert.deepEqual(new RetryableError("Later.").details, {});
});

test("anything that was thrown can be described, and is JSON then", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;
  assert.deepEqual(describeError("text"), { name: "NonError", message: "text" });
  assert.deepEqual(describeError({ a: 1 }), { name: "NonError", message: '{"a":1}' });
  assert.deepEqual(describeError(undefined), { name: "NonError", message: "undefined" });
  assert.deepEqual(describeError(cycle), { name: "NonError", message: "[object Object]" });
  assert.deepEqual(describeError(1n), { name: "NonError", message: "[object BigInt]" });
  const described = describeError(new CadreError("CLOSED", "Closed.", { what: "bus" }));
  assert.equal(described.code, "CLOSED");
  assert.equal(described.message, "Closed.");
  assert.match(described.stack ?? "", /Closed\./);
  assert.equal(describeError(Object.assign(new Error("x"), { code: 7 })).code, undefined);
});

test("a described stack is bounded", () => {
  const error = new Error("x");
  error.stack = "s".repeat(10_000);
  assert.equal(describeError(error).stack?.length, 4_000);
});
