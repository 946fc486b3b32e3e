/** What the suite does not ask, on the stand-in server. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { EventBridge } from "@aws-sdk/client-eventbridge";
import { SQS } from "@aws-sdk/client-sqs";
import {
  createBus,
  createEvent,
  isCadreError,
  memoryStore,
  secureRandom,
  systemClock,
  type AgentEvent,
  type DeadLetter,
  type Transport,
} from "cadre";
import { eventbridge, type EventbridgeOptions } from "cadre/eventbridge";
import { startArchive, withArchive } from "cadre/outbox";
import { until } from "../../until.ts";
import { freePort } from "../../servers/temporary.ts";
import { motoConnection, motoMissing, startMotoServer } from "../../servers/moto-server.ts";

const skip = motoMissing();
const server = skip === false ? await startMotoServer() : undefined;
after(() => server?.stop());
const eventBus = "driver";

function open(options: EventbridgeOptions = {}): Transport {
  const url = `eventbridge://us-east-1/${eventBus}?endpoint=${server!.endpoint}`;
  return eventbridge(url, { connection: motoConnection, waitMs: 1_000, ...options });
}

function plainClients(): { readonly events: EventBridge; readonly queues: SQS } {
  const options = { ...motoConnection, endpoint: server!.endpoint };
  return { events: new EventBridge(options), queues: new SQS(options) };
}

function eventOf(type: string, payload: unknown = {}): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "tester" };
  return createEvent(context, type, payload);
}

const spec = {
  subscription: "readers",
  mode: "group",
  patterns: ["note.#"],
  definition: "note.#",
  from: "new",
  leaseMs: 10_000,
  maxQueued: 100,
} as const;

test(
  "plain clients of AWS read what is published, and publish what is read",
  { skip },
  async () => {
    const transport = open();
    const { events, queues } = plainClients();
    const intake = await transport.open(spec);
    await events.putRule({
      Name: "theirs",
      EventBusName: eventBus,
      EventPattern: JSON.stringify({ source: ["cadre"], detail: { data: { amount: [3] } } }),
    });
    const { QueueUrl } = await queues.createQueue({ QueueName: "theirs" });
    const Arn = "arn:aws:sqs:us-east-1:123456789012:theirs";
    await events.putTargets({
      Rule: "theirs",
      EventBusName: eventBus,
      Targets: [{ Id: "1", Arn }],
    });
    const event = eventOf("note.written", { amount: 3 });
    await transport.publish([{ event }, { event: eventOf("note.written", { amount: 4 }) }]);
    const { Messages = [] } = await queues.receiveMessage({ QueueUrl, MaxNumberOfMessages: 10 });
    assert.equal(Messages.length, 1, "a rule of their own may ask for the content");
    const body = JSON.parse(Messages[0]!.Body!);
    assert.equal(body["detail-type"], "note.written");
    assert.equal(body.detail.specversion, "1.0");
    assert.equal(body.detail.id, event.id);
    assert.deepEqual(body.detail.data, { amount: 3 });
    const entry = { Source: "cadre", DetailType: "note.sent", Detail: '{"by":"hand"}' };
    await events.putEvents({ Entries: [{ ...entry, EventBusName: eventBus }] });
    const seen: AgentEvent[] = [];
    while (seen.length < 3) {
      for (const lease of await intake.pull(10, AbortSignal.timeout(20_000))) {
        seen.push(lease.recorded.event!);
        await lease.settle({ kind: "ack" });
      }
    }
    const sent = seen.find(({ type }) => type === "note.sent");
    assert.deepEqual(sent?.payload, { by: "hand" });
    await transport.close();
  },
);

test(
  "a group that is to begin in the past is refused, and is not left behind",
  { skip },
  async () => {
    const transport = open();
    const past = { ...spec, subscription: "historians", from: "earliest" } as const;
    for (const mode of ["group", "broadcast"] as const) {
      await assert.rejects(transport.open({ ...past, mode }), (error) =>
        isCadreError(error, "UNSUPPORTED"),
      );
    }
    const names = (await transport.groups!()).map(({ name }) => name);
    assert.ok(!names.includes("historians"));
    await transport.close();
  },
);

function letterOf(n: number, more: Partial<DeadLetter> = {}): DeadLetter {
  const event = eventOf("note.written", { n });
  return {
    id: `readers/${n}`,
    group: "readers",
    event,
    reason: "attempts",
    error: { name: "Error", message: `failed ${n}` },
    attempts: 3,
    position: "1",
    firstFailedAt: 1,
    lastFailedAt: 2,
    ...more,
  };
}

test(
  "dead letters outlive the process, are replaced by id, and are packed if large",
  { skip },
  async () => {
    const [one, other] = [open({ prefix: "letters" }), open({ prefix: "letters" })];
    const letters = Array.from({ length: 25 }, (_, n) => letterOf(n));
    for (const letter of letters) await one.deadLetters!.put(letter);
    const edited = letterOf(3, { attempts: 9 });
    await one.deadLetters!.put(edited);
    const bytes = Buffer.from("no event ".repeat(30_000)).toString("base64");
    const { event: _, ...large } = letterOf(99, { bytes, reason: "undecodable" });
    await one.deadLetters!.put(large);
    await one.close();
    const box = other.deadLetters!;
    const listed: DeadLetter[] = [];
    for await (const letter of box.list()) listed.push(letter);
    assert.equal(listed.length, 26);
    assert.deepEqual(await box.get("readers/3"), edited);
    assert.deepEqual(await box.get("readers/99"), large);
    assert.equal(await box.get("readers/1000"), undefined);
    assert.equal(await box.remove("readers/3"), true);
    assert.equal(await box.remove("readers/3"), false);
    const few: string[] = [];
    for await (const { id } of box.list({ reason: "attempts", limit: 2 })) few.push(id);
    assert.deepEqual(few, ["readers/0", "readers/1"]);
    await other.close();
  },
);

test(
  "queues of broadcasts whose process was killed are removed, of living ones not",
  { skip },
  async () => {
    const prefix = "swept";
    const { events, queues } = plainClients();
    const living = open({ prefix });
    await living.open({ ...spec, subscription: "living", mode: "broadcast" });
    const { QueueUrl } = await queues.createQueue({ QueueName: `${prefix}-b-dead` });
    await queues.tagQueue({ QueueUrl, Tags: { "cadre-alive": String(Date.now() - 3_600_000) } });
    const rule = { Name: `${prefix}-b-dead`, EventBusName: eventBus };
    await events.putRule({ ...rule, EventPattern: '{"source":["swept"]}' });
    const names = async (): Promise<number> => {
      const { QueueUrls = [] } = await queues.listQueues({ QueueNamePrefix: `${prefix}-b-` });
      return QueueUrls.length;
    };
    assert.equal(await names(), 2);
    const next = open({ prefix });
    assert.equal((await next.health!()).ok, true);
    await until(async () => (await names()) === 1);
    await assert.rejects(events.describeRule(rule), { name: "ResourceNotFoundException" });
    await next.close();
    await living.close();
    assert.equal(await names(), 0, "a broadcast that is closed takes its queue along");
  },
);

test("an archive gives a bus on EventBridge its history and its replay", { skip }, async () => {
  const store = memoryStore();
  const transport = open({ prefix: "kept" });
  const archive = await startArchive({ transport, store });
  const bus = createBus({ transport: withArchive(transport, store) });
  for (let n = 1; n <= 5; n += 1) await bus.publish("note.written", { n });
  await until(async () => (await archive.status()).archived === 5);
  const kept = new Set<unknown>();
  for await (const { payload } of bus.history({ type: "note.*" })) {
    kept.add((payload as { n: number }).n);
  }
  assert.deepEqual(kept, new Set([1, 2, 3, 4, 5]));
  const replayed: string[] = [];
  await bus.replay({}, { to: ({ type }) => void replayed.push(type) });
  assert.equal(replayed.length, 5);
  await archive.close();
  await bus.close();
});

test("where nobody answers, the error says where and how often was tried", { skip }, async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const url = `eventbridge://us-east-1/team?endpoint=${endpoint}`;
  const connection = { ...motoConnection, maxAttempts: 1 };
  const transport = eventbridge(url, { connection, connectTimeoutMs: 500 });
  const [result] = await transport.publish([{ event: eventOf("a.b") }]).catch((error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.ok(error.message.includes(endpoint), error.message);
    assert.ok(error.details.tried >= 2, error.message);
    return [undefined];
  });
  assert.equal(result, undefined);
  assert.equal((await transport.health!()).ok, false);
  await transport.close();
});

test(
  "a broadcast whose queue was taken for that of a dead process hears again",
  { skip },
  async () => {
    await using bus = createBus({ transport: open({ prefix: "woken" }) });
    const heard: string[] = [];
    await bus.subscribe("custom.woken", ({ id }) => void heard.push(id));
    const { events, queues } = plainClients();
    const { QueueUrls = [] } = await queues.listQueues({ QueueNamePrefix: "woken-b-" });
    assert.equal(QueueUrls.length, 1);
    for (const QueueUrl of QueueUrls) {
      const Rule = QueueUrl.slice(QueueUrl.lastIndexOf("/") + 1);
      await events.removeTargets({ EventBusName: eventBus, Rule, Ids: ["queue"] });
      await events.deleteRule({ EventBusName: eventBus, Name: Rule });
      await queues.deleteQueue({ QueueUrl });
    }
    await until(async () => {
      await bus.publish("custom.woken", {});
      return heard.length > 0;
    });
  },
);
