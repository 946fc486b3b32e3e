/** What the driver decides without a server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isCadreError, VirtualClock } from "cadre";
import { rabbitmq } from "cadre/rabbitmq";
import * as fc from "fast-check";
import { parseAddress } from "#src/drivers/rabbitmq/connect.ts";
import { nextStay } from "#src/drivers/rabbitmq/delays.ts";
import type { HeldChannel } from "#src/drivers/rabbitmq/held-channel.ts";
import { definitionKey, namesOf } from "#src/drivers/rabbitmq/names.ts";
import { Unroutable } from "#src/drivers/rabbitmq/outlet.ts";
import { RabbitmqLease, type LeaseParts } from "#src/drivers/rabbitmq/rabbitmq-lease.ts";
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

/** A delivery of a session that is not connected to anything. */
function leaseOf(work: {
  readonly send: (exchange: string) => void;
  readonly make: () => void;
  readonly flush: () => boolean;
}): RabbitmqLease {
  const parts = {
    session: {
      settings: { clock: new VirtualClock() },
      names: namesOf("cadre"),
      patiently: async () => work.make(),
      outlet: { send: async ({ exchange }: { exchange: string }) => work.send(exchange) },
    },
    queue: "group",
    beforeRelease: async () => {},
    calm: () => undefined,
    onTold: () => {},
    onEnd: () => {},
  } as unknown as LeaseParts; // what a lease uses of them
  const held = {
    isOpen: true,
    channel: { ack: () => {} },
    flush: async () => work.flush(),
  } as unknown as HeldChannel; // the same
  const message = { content: Buffer.from("{}"), properties: {}, fields: {} };
  return new RabbitmqLease(parts, held, message as never, 1);
}

test("a delayed event is sent on once, however late the server answers to its end", async () => {
  const sent: string[] = [];
  let answers = 0;
  const lease = leaseOf({
    send: (exchange) => void sent.push(exchange),
    make: () => {},
    flush: () => {
      answers += 1;
      if (answers < 3) throw new Error("no answer yet");
      return true;
    },
  });
  await assert.rejects(lease.stay(5_000, 5_000), /no answer yet/);
  await assert.rejects(lease.stay(5_000, 5_000), /no answer yet/);
  await lease.stay(5_000, 5_000);
  assert.equal(sent.length, 1);
});

test("the queue of a delay that somebody has deleted is made again", async () => {
  let isThere = true;
  let made = 0;
  const lease = leaseOf({
    send: () => {
      if (!isThere) throw new Unroutable("no queue takes it");
    },
    make: () => {
      made += 1;
      isThere = made !== 1;
    },
    flush: () => true,
  });
  const retry = { kind: "retry", delayMs: 5_000 } as const;
  await assert.rejects(lease.settle(retry), Unroutable);
  assert.equal(await lease.settle(retry), "ok");
  assert.equal(made, 2);
});
