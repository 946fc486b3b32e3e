/**
 * What the shared suite cannot know: the server's side, others' messages, connections of the user's
 * own.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import { encodeBinaryCloudEvent, isCadreError, systemClock, type Transport } from "cadre";
import { nats, type NatsClientLike } from "cadre/nats";
import { makeEvent, specOf, takeOne } from "../plain-events.ts";
import { natsServerPath, startNatsServer, type NatsServer } from "../../servers/nats-server.ts";
import { freePort } from "../../servers/temporary.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;
const options = { skip, timeout: 30_000 };
let server: NatsServer | undefined;
if (!skip) server = await startNatsServer();
after(() => server?.stop());

/** A server that carries messages and keeps none. */
async function startPlainServer(): Promise<AsyncDisposable & { readonly url: string }> {
  const port = await freePort();
  const child = spawn(natsServerPath()!, ["-a", "127.0.0.1", "-p", String(port)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const text of child.stderr) if (String(text).includes("Server is ready")) break;
  return {
    url: `nats://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Gives `use` a transport and a plain connection, and closes both. */
async function withBoth(
  use: (transport: Transport, client: NatsConnection) => Promise<void>,
  settings: Parameters<typeof nats>[1] = {},
): Promise<void> {
  const client = await connect({ servers: server!.url });
  const transport = nats(server!.url, settings);
  try {
    await use(transport, client);
  } finally {
    await transport.close();
    await client.close();
  }
}

test("a connection of the user's own is used, and stays open", options, async () => {
  const client = await connect({ servers: server!.url });
  const like: NatsClientLike = client; // the few members that are used are those of the real one
  const transport = nats(like);
  const intake = await transport.open(specOf("own"));
  const event = makeEvent("own.made");
  const [result] = await transport.publish([{ event }]);
  assert.equal(result!.ok, true);
  assert.equal((await takeOne(intake))?.recorded.event?.id, event.id);
  await transport.close();
  assert.equal(client.isClosed(), false);
  await client.flush();
  await client.close();
});

test("connection settings are for URLs alone", options, () => {
  assert.throws(
    () => nats({} as NatsClientLike, { connection: { token: "t" } }),
    (error) => isCadreError(error, "INVALID_OPTION"),
  );
});

test("others read what is published as a CloudEvent, and their binary ones are read", options, () =>
  withBoth(async (transport, client) => {
    const intake = await transport.open(specOf("foreign"));
    const heard = client.subscribe("cadre.e.foreign.>", { max: 2 });
    await client.flush(); // the server knows of it
    const ours = makeEvent("foreign.ours", { n: 1 });
    await transport.publish([{ event: ours }]);
    assert.equal((await takeOne(intake))?.recorded.event?.id, ours.id);

    const theirs = makeEvent("foreign.theirs", { n: 2 });
    const binary = encodeBinaryCloudEvent(theirs, "nats");
    const head = headers();
    for (const [name, value] of Object.entries(binary.headers)) head.set(name, value);
    head.set("content-type", binary.contentType);
    await client.request("cadre.e.foreign.theirs._", binary.data, {
      timeout: 2_000,
      headers: head,
    });
    assert.deepEqual((await takeOne(intake))?.recorded.event, theirs);

    for await (const message of heard) {
      const json = message.json<{ id: string; specversion: string; type: string }>();
      assert.equal(
        message.headers?.get("Content-Type"),
        "application/cloudevents+json; charset=utf-8",
      );
      assert.deepEqual([json.id, json.specversion, json.type], [ours.id, "1.0", ours.type]);
      break;
    }
  }),
);

test("bytes that hold no event are handed out as such, also after a release", options, () =>
  withBoth(async (transport, client) => {
    const intake = await transport.open(specOf("rubbish"));
    await client.request("cadre.e.rubbish.x._", "no event", { timeout: 2_000 });
    const first = await takeOne(intake);
    assert.equal(first?.recorded.event, undefined);
    assert.equal(Buffer.from(first!.recorded.undecodable!.bytes).toString(), "no event");
    assert.equal(await first!.settle({ kind: "release" }), "ok");
    const second = await takeOne(intake);
    assert.equal(second?.attempt, 1);
    assert.equal(second.recorded.position, first!.recorded.position);
    assert.equal(Buffer.from(second.recorded.undecodable!.bytes).toString(), "no event");
    assert.equal(await second.settle({ kind: "ack" }), "ok");
  }),
);

test(
  "a copy of a large event takes no more than the event: what can be published can be kept",
  options,
  () =>
    withBoth(async (transport) => {
      const intake = await transport.open(specOf("large"));
      await transport.publish([{ event: makeEvent("large.first") }]);
      await (await takeOne(intake))!.settle({ kind: "ack" });
      const { maxBytes } = transport.capabilities;
      const event = makeEvent("large.made", { text: "x".repeat(maxBytes - 1_024) });
      const [result] = await transport.publish([{ event }]);
      assert.equal(result!.ok, true);
      const lease = await takeOne(intake);
      assert.equal(await lease!.settle({ kind: "release" }), "ok");
      const again = await takeOne(intake);
      assert.equal(again?.recorded.event?.id, event.id);
      const id = `large/${event.id}`;
      await transport.deadLetters!.put({
        id,
        group: "large",
        event,
        reason: "attempts",
        error: { name: "Error", message: "m".repeat(5_000), stack: "s".repeat(20_000) },
        attempts: 3,
        position: lease!.recorded.position,
        firstFailedAt: 1,
        lastFailedAt: 2,
      });
      assert.equal((await transport.deadLetters!.get(id))?.event?.id, event.id);
      assert.equal(await transport.deadLetters!.remove(id), true);
      assert.equal(await transport.deadLetters!.remove(id), false);
      const tooLarge = makeEvent("large.made", { text: "x".repeat(maxBytes) });
      const [refused] = await transport.publish([{ event: tooLarge }]);
      assert.ok(!refused!.ok && isCadreError(refused!.error, "TOO_LARGE"));
    }),
);

test("a group's consumers are the server's: named, durable, one subject each", options, () =>
  withBoth(async (transport, client) => {
    await transport.open(specOf("seen by people", { patterns: ["task.created", "task.failed"] }));
    const manager = await jetstreamManager(client);
    const consumers = await Array.fromAsync(manager.consumers.list("cadre"));
    const config = consumers.find((info) => info.config.description?.includes("by people"))?.config;
    assert.match(String(config?.durable_name), /^seen_by_people_[0-9a-f]{20}$/);
    assert.equal(config?.filter_subject, "cadre.e.task.*._");
    assert.equal(config?.max_deliver, -1);
  }),
);

test("two prefixes on one server are two buses", options, () =>
  withBoth(
    async (transport) => {
      const other = nats(server!.url);
      const here = await transport.open(specOf("apart"));
      const there = await other.open(specOf("apart", { mode: "broadcast" }));
      await transport.publish([{ event: makeEvent("apart.made") }]);
      assert.notEqual(await takeOne(here), undefined);
      assert.equal(await takeOne(there, 100), undefined);
      await other.close();
    },
    { prefix: "second.bus" },
  ),
);

test("a stream with other settings is refused, naming the option", options, () =>
  withBoth(
    async (transport, client) => {
      await transport.open(specOf("third"));
      const refused = async (
        settings: Parameters<typeof nats>[1],
        option: string,
      ): Promise<void> => {
        const other = nats(server!.url, settings);
        await assert.rejects(other.open(specOf("third")), (error) => {
          assert.ok(isCadreError(error, "INVALID_OPTION"), String(error));
          return error.details.option === option;
        });
        await other.close();
      };
      await refused({ prefix: "third", dedupeMs: 5_000 }, "dedupeMs");
      await refused({ prefix: "fourth", stream: "third" }, "prefix");
      const config = {
        name: "fifth",
        subjects: ["fifth.e.>"],
        storage: "memory",
        retention: "limits",
      };
      await client.request("$JS.API.STREAM.CREATE.fifth", JSON.stringify(config), {
        timeout: 2_000,
      });
      await refused({ prefix: "fifth" }, "stream");
    },
    { prefix: "third" },
  ),
);

test("order by key is refused, as the server has none", options, () =>
  withBoth(async (transport) => {
    await assert.rejects(transport.open(specOf("ordered", { ordered: "block" })), (error) =>
      isCadreError(error, "UNSUPPORTED"),
    );
  }),
);

test(
  "what a member was sent and did not ask for any more goes to another at once, as attempt 1",
  options,
  () =>
    withBoth(async (transport) => {
      const other = nats(server!.url);
      const busy = await transport.open(specOf("surplus"));
      const idle = await other.open(specOf("surplus"));
      const waiting = busy.pull(10, new AbortController().signal);
      const events = Array.from({ length: 6 }, (_, n) => makeEvent("surplus.made", { n }));
      await transport.publish([{ event: events[0]! }]);
      const [held] = await waiting; // nine more are asked for, and nobody pulls here now
      await transport.publish(events.slice(1).map((event) => ({ event })));
      const attempts: number[] = [];
      for (const _ of events.slice(1)) {
        const lease = await takeOne(idle);
        attempts.push(lease!.attempt);
        await lease!.settle({ kind: "ack" });
      }
      assert.deepEqual(attempts, [1, 1, 1, 1, 1]);
      assert.equal(await held!.settle({ kind: "ack" }), "ok");
      await other.close();
    }),
);

test("a deleted group ends the pulls of its members", options, () =>
  withBoth(async (transport) => {
    const intake = await transport.open(specOf("doomed"));
    const waiting = intake.pull(1, AbortSignal.timeout(10_000));
    await systemClock.sleep(20); // the pull is under way
    await transport.deleteGroup!("doomed");
    assert.deepEqual(await waiting, []);
    assert.deepEqual(await intake.pull(1, new AbortController().signal), []);
  }),
);

test("letters are listed while they are removed, and the list ends", options, () =>
  withBoth(
    async (transport) => {
      const box = transport.deadLetters!;
      for (let n = 0; n < 130; n += 1) {
        await box.put({
          id: `removed/${n}`,
          group: "removed",
          reason: "attempts",
          error: { name: "Error", message: "no" },
          attempts: 1,
          position: "0".repeat(16),
          firstFailedAt: n,
          lastFailedAt: n,
        });
      }
      const seen: string[] = [];
      for await (const { id } of box.list()) {
        seen.push(id);
        if (seen.length === 1) {
          for (let n = 100; n < 130; n += 1) assert.equal(await box.remove(`removed/${n}`), true);
        }
        await box.remove(id);
      }
      assert.deepEqual(
        seen.slice(0, 100),
        Array.from({ length: 100 }, (_, n) => `removed/${n}`),
      );
      for await (const { id } of box.list()) assert.fail(`${id} is still there`);
    },
    { prefix: "letters" },
  ),
);

test("a connection that its owner closes fails what uses it", options, async () => {
  const client = await connect({ servers: server!.url });
  const transport = nats(client);
  const intake = await transport.open(specOf("orphan"));
  const waiting = intake.pull(1, AbortSignal.timeout(10_000));
  const refused = (error: unknown): boolean => isCadreError(error, "UNREACHABLE");
  const failing = assert.rejects(waiting, refused);
  await client.close();
  await failing;
  await assert.rejects(intake.pull(1, AbortSignal.timeout(10_000)), refused);
  const [result] = await transport.publish([{ event: makeEvent("orphan.made") }]);
  assert.ok(!result!.ok && refused(result!.error));
  assert.equal((await transport.health!()).ok, false);
  await transport.close();
});

test("a server without JetStream is refused with UNSUPPORTED", options, async () => {
  await using plain = await startPlainServer();
  const transport = nats(plain.url, { requestTimeoutMs: 300 });
  await assert.rejects(transport.open(specOf("plain")), (error) =>
    isCadreError(error, "UNSUPPORTED"),
  );
  await transport.close();
});

test(
  "a member that needs longer than the group's first one keeps its events as long",
  options,
  () =>
    withBoth(async (transport) => {
      const other = nats(server!.url);
      const quick = await transport.open(specOf("patient", { leaseMs: 200 }));
      const patient = await other.open(specOf("patient", { leaseMs: 3_000 }));
      await transport.publish([{ event: makeEvent("patient.made") }]);
      const lease = await takeOne(patient);
      assert.equal(await takeOne(quick, 1_000), undefined, "it is not handed to another");
      assert.equal(await lease!.settle({ kind: "ack" }), "ok");
      assert.equal(await takeOne(quick, 500), undefined);
      await other.close();
    }),
);

test(
  "a member that says nothing loses its event when its own time is over, not before",
  options,
  () =>
    withBoth(async (transport) => {
      const intake = await transport.open(specOf("silent", { leaseMs: 300 }));
      await transport.publish([{ event: makeEvent("silent.made") }]);
      const startedAt = systemClock.monotonic();
      const late = await takeOne(intake);
      const again = await takeOne(intake);
      assert.ok(systemClock.monotonic() - startedAt >= 300);
      assert.equal(again?.attempt, 2);
      for (const kind of ["ack", "release", "park"] as const) {
        assert.equal(await late!.settle({ kind }), "lost");
      }
      assert.equal(await late!.extend(1_000), "lost");
      assert.equal(await again.settle({ kind: "ack" }), "ok");
    }),
);
