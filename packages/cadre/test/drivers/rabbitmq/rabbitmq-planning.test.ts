/** What the driver decides without a server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isCadreError } from "cadre";
import { rabbitmq } from "cadre/rabbitmq";
import * as fc from "fast-check";
import { parseAddress } from "#src/drivers/rabbitmq/connect.ts";
import { nextStay } from "#src/drivers/rabbitmq/delays.ts";
import { definitionKey, namesOf } from "#src/drivers/rabbitmq/names.ts";
import { fromPosition, toPosition } from "#src/drivers/rabbitmq/wire.ts";

const refused = (error: unknown): boolean => isCadreError(error, "INVALID_OPTION");

test("the stays of a delay end when it does at the earliest, and a sixteenth late at most", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 * 24 * 3_600_000 }), (delayMs) => {
      let waitedMs = 0;
      let stays = 0;
      while (waitedMs < delayMs) {
        waitedMs += nextStay(delayMs - waitedMs, delayMs);
        stays += 1;
      }
      assert.ok(waitedMs - delayMs <= Math.max(10, delayMs / 16), `${waitedMs} for ${delayMs}`);
      assert.ok(stays <= 8, `${stays} stays for ${delayMs}`);
    }),
  );
});

test("an address is shown without its credentials, with its port and virtual host", () => {
  const { shown, urls } = parseAddress("amqp://me:secret@one/team, amqps://two:99");
  assert.equal(shown, "amqp://one:5672/team,amqps://two:99");
  assert.equal(urls.length, 2);
  for (const bad of ["http://one", "amqp://", "ftp://me:secret@one"]) {
    assert.throws(
      () => parseAddress(bad),
      (error: Error) => refused(error) && !error.message.includes("secret"),
    );
  }
});

test("options that cannot be used are refused at once", () => {
  assert.throws(() => rabbitmq("amqp://one", { prefix: "with space" }), refused);
  assert.throws(() => rabbitmq("amqp://one", { heartbeatMs: 10 }), refused);
  assert.throws(() => rabbitmq("amqp://one", { unknown: 1 } as object), refused);
});

test("names of groups fit into a short string, and two groups never share one", () => {
  const { group, lock, filling } = namesOf("p".repeat(60));
  const long = "ü".repeat(500);
  for (const name of [group(long), lock(long), filling(long)]) assert.ok(name.length <= 200);
  assert.notEqual(group("a.b"), group("a_b"));
  assert.notEqual(group(long), group(`${long}.`));
});

test("a long definition is told from every other by a key that fits into a short string", () => {
  const long = "é".repeat(300);
  assert.ok(Buffer.byteLength(definitionKey(long)) <= 255);
  assert.notEqual(definitionKey(long), definitionKey(`${long}.`));
  assert.equal(definitionKey("short"), "short");
});

test("positions of the log compare as text; what is none is refused", () => {
  assert.ok(toPosition(9) < toPosition(10));
  assert.deepEqual(fromPosition(toPosition(7)), { offset: 7 });
  assert.throws(() => fromPosition("7"), refused);
});
