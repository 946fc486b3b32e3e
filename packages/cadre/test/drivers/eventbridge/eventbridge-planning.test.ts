/** What the driver decides without a server, or on one that is played. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  isCadreError,
  secureRandom,
  systemClock,
  VirtualClock,
  type AgentEvent,
} from "cadre";
import { eventbridge, type AwsClients, type PutEntry } from "cadre/eventbridge";
import * as fc from "fast-check";
import { compilePattern } from "#src/core/pattern.ts";
import { parseAddress } from "#src/drivers/eventbridge/connect.ts";
import { namesOf } from "#src/drivers/eventbridge/names.ts";
import { detailTypeOf, rulePattern } from "#src/drivers/eventbridge/rule-pattern.ts";
import { toReceived } from "#src/drivers/eventbridge/wire.ts";

const refused = (error: unknown): boolean => isCadreError(error, "INVALID_OPTION");

type Condition = string | { prefix?: string; suffix?: string; wildcard?: string };

/** EventBridge's own meaning of the few conditions that are used. */
function letsThrough(pattern: string, source: string, type: string): boolean {
  const rule = JSON.parse(pattern) as { source: string[]; "detail-type"?: Condition[] };
  if (!rule.source.includes(source)) return false;
  return (rule["detail-type"] ?? [{ prefix: "" }]).some((condition) => {
    if (typeof condition === "string") return condition === type;
    if (condition.prefix !== undefined) return type.startsWith(condition.prefix);
    if (condition.suffix !== undefined) return type.endsWith(condition.suffix);
    const parts = condition.wildcard!.replaceAll("\\\\", "\\").split("*");
    assert.equal(parts.length, 2, "several wildcards may be too complex for AWS");
    const [before = "", after = ""] = parts;
    const fits = type.length >= before.length + after.length;
    return fits && type.startsWith(before) && type.endsWith(after);
  });
}

const word = fc.constantFrom("a", "b", "task", "created", "x".repeat(70), "back\\slash", "é");
const isShortEnough = (name: string): boolean => Buffer.byteLength(name) <= 255;
const topic = fc
  .array(word, { minLength: 1, maxLength: 5 })
  .map((words) => words.join("."))
  .filter(isShortEnough);
const patternOf = fc
  .array(fc.oneof(word, fc.constantFrom("*", "#")), { minLength: 1, maxLength: 5 })
  .filter((words) => words.filter((each) => each === "#").length <= 3)
  .map((words) => words.join("."))
  .filter(isShortEnough);

test("a rule lets through whatever its patterns match", () => {
  fc.assert(
    fc.property(fc.array(patternOf, { minLength: 1, maxLength: 4 }), topic, (patterns, type) => {
      if (!patterns.some((pattern) => compilePattern(pattern)(type))) return;
      const rule = rulePattern(patterns, "cadre", "cadre.probe.x");
      assert.ok(letsThrough(rule, "cadre", detailTypeOf(type)), `${rule} and ${type}`);
    }),
    { numRuns: 3_000 },
  );
});

test("a rule keeps out what begins or ends otherwise, and what is of others", () => {
  const rule = rulePattern(["task.#", "#.failed", "a.*.z"], "cadre", "cadre.probe.x");
  for (const type of ["task", "task.created", "deep.down.failed", "failed", "a.b.z"]) {
    assert.ok(letsThrough(rule, "cadre", type), type);
    assert.ok(!letsThrough(rule, "aws.s3", type), "of another source");
  }
  for (const type of ["tasks", "other.task", "failed.not", "a.b.c"]) {
    assert.ok(!letsThrough(rule, "cadre", type), type);
  }
  assert.ok(letsThrough(rule, "cadre.probe.x", "(probe)"));
  assert.ok(!letsThrough(rule, "cadre", "(other)"));
});

test("a rule of many patterns is broadened until AWS takes it", () => {
  const many = Array.from({ length: 300 }, (_, n) => `task.number-${n}.created`);
  const rule = rulePattern(many, "cadre", "cadre.probe.x");
  assert.ok(rule.length <= 2_048);
  assert.ok(letsThrough(rule, "cadre", "task.number-299.created"));
  assert.ok(!letsThrough(rule, "cadre", "other.number-299.created"));
  const firsts = Array.from({ length: 300 }, (_, n) => `domain-${n}.created.#`);
  const all = rulePattern(firsts, "cadre", "cadre.probe.x");
  assert.ok(all.length <= 2_048);
  assert.ok(letsThrough(all, "cadre", "domain-299.created.now"));
});

test("an address says region, bus and endpoint, and never holds credentials", () => {
  const { region, endpoint, options } = parseAddress(
    "eventbridge://eu-central-1/team?prefix=shop&endpoint=http://127.0.0.1:5000",
  );
  assert.deepEqual([region, endpoint], ["eu-central-1", "http://127.0.0.1:5000"]);
  assert.deepEqual(options, { eventBus: "team", prefix: "shop" });
  assert.deepEqual(parseAddress("eventbridge://").options, {});
  for (const bad of [
    "http://one",
    "eventbridge://me:secret@eu-central-1/team",
    "eventbridge://eu-central-1/team?perfix=shop",
    "eventbridge://eu-central-1/team?endpoint=nowhere",
  ]) {
    assert.throws(
      () => eventbridge(bad),
      (error: Error) => refused(error) && !error.message.includes("secret"),
      bad,
    );
  }
});

test("options that cannot be used are refused at once", () => {
  const url = "eventbridge://eu-central-1/team";
  assert.throws(() => eventbridge(url, { prefix: "with space" }), refused);
  assert.throws(() => eventbridge(url, { waitMs: 30_000 }), refused);
  assert.throws(() => eventbridge(url, { unknown: 1 } as object), refused);
  const clients = {} as AwsClients; // not used before the first use
  assert.throws(() => eventbridge(clients, { connection: {} }), refused);
});

test("names fit into AWS' limits, and two groups never share one", () => {
  const { group, broadcast } = namesOf("p".repeat(20));
  const long = "ü".repeat(500);
  for (const name of [group(long), broadcast(long)]) {
    assert.match(name, /^[A-Za-z0-9_-]{1,64}$/);
  }
  assert.notEqual(group("a.b"), group("a_b"));
});

test("what others put on the bus is read as an event, and what is none is kept", () => {
  const read = (body: unknown) =>
    toReceived({ MessageId: "m", Body: typeof body === "string" ? body : JSON.stringify(body) }, 7);
  const foreign = read({
    id: "e-1",
    "detail-type": "order.placed",
    source: "cadre",
    time: "2026-01-02T03:04:05Z",
    detail: { amount: 3 },
  }).recorded.event;
  assert.equal(foreign?.id, "e-1");
  assert.equal(foreign?.type, "order.placed");
  assert.equal(foreign?.timestamp, Date.UTC(2026, 0, 2, 3, 4, 5));
  assert.deepEqual(foreign?.payload, { amount: 3 });
  for (const bad of ["no json", "[1]", { detail: {} }, { "detail-type": "Has Spaces", id: "1" }]) {
    const { event, undecodable } = read(bad).recorded;
    assert.equal(event, undefined);
    assert.ok(undecodable!.bytes.length > 0);
  }
});

/** An event bus that answers each call as it is told. */
function playedBus(answer: (entries: readonly PutEntry[]) => readonly (string | undefined)[]) {
  const calls: number[] = [];
  const never = (): Promise<never> => Promise.reject(new Error("is not asked for"));
  const arn = "arn:aws:events:eu-central-1:123456789012:event-bus/team";
  const clients: AwsClients = {
    events: {
      putEvents: async ({ Entries }) => {
        calls.push(Entries.length);
        return { Entries: answer(Entries).map((ErrorCode) => ({ ErrorCode })) };
      },
      describeEventBus: async () => ({ Arn: arn }),
      createEventBus: never,
      putRule: never,
      describeRule: never,
      deleteRule: never,
      listRules: never,
      putTargets: never,
      removeTargets: never,
      destroy: () => assert.fail("clients that were handed in stay open"),
    },
    queues: {
      createQueue: never,
      getQueueUrl: never,
      getQueueAttributes: never,
      deleteQueue: never,
      listQueues: async () => ({}),
      tagQueue: never,
      listQueueTags: never,
      receiveMessage: never,
      sendMessageBatch: never,
      deleteMessageBatch: never,
      changeMessageVisibilityBatch: never,
      destroy: () => assert.fail("clients that were handed in stay open"),
    },
  };
  return { clients, calls };
}

function eventOf(payload: unknown): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "tester" };
  return createEvent(context, "task.created", payload);
}

test("publishes of one turn share calls of ten entries and 256 KB", async () => {
  const { clients, calls } = playedBus((entries) => entries.map(() => undefined));
  const transport = eventbridge(clients, { eventBus: "team" });
  await transport.publish([]);
  await Promise.all(
    Array.from({ length: 25 }, (_, n) => transport.publish([{ event: eventOf(n) }])),
  );
  assert.deepEqual(calls, [10, 10, 5]);
  calls.length = 0;
  const large = eventOf("x".repeat(150_000));
  const results = await transport.publish([large, large, eventOf(1)].map((event) => ({ event })));
  assert.ok(results.every(({ ok }) => ok));
  assert.deepEqual(calls, [1, 2]);
  await transport.close();
});

test("entries that are throttled are sent again, alone; others fail at once", async () => {
  const clock = new VirtualClock();
  let throttles = 3;
  const { clients, calls } = playedBus((entries) =>
    entries.map(({ Detail }) => {
      if (Detail.includes('"data":2')) return "MalformedDetail";
      if (!Detail.includes('"data":1')) return undefined;
      throttles -= 1;
      return throttles >= 0 ? "ThrottlingException" : undefined;
    }),
  );
  const transport = eventbridge(clients, { eventBus: "team", clock });
  const publishing = transport.publish([0, 1, 2].map((n) => ({ event: eventOf(n) })));
  await clock.advance(2_000);
  const results = await publishing;
  assert.deepEqual(
    results.map(({ ok }) => ok),
    [true, true, false],
  );
  assert.deepEqual(calls, [3, 1, 1, 1]);
  await transport.close();
});

test("an entry that is throttled for too long is refused", async () => {
  const clock = new VirtualClock();
  const { clients } = playedBus((entries) => entries.map(() => "ThrottlingException"));
  const transport = eventbridge(clients, { clock, requestTimeoutMs: 1_000 });
  const publishing = transport.publish([{ event: eventOf(1) }]);
  await clock.advance(5_000);
  const [result] = await publishing;
  assert.ok(result && !result.ok && isCadreError(result.error, "UNREACHABLE"));
  await transport.close();
});
