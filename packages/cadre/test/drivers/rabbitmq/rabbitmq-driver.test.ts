/** What is RabbitMQ's own: addresses, certificates, connections handed in, and its dead letters. */
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { after, test } from "node:test";
import { connect } from "amqplib";
import {
  createBus,
  isCadreError,
  systemClock,
  TerminalError,
  type DeadLetter,
  type Transport,
} from "cadre";
import { rabbitmq } from "cadre/rabbitmq";
import { carriesNotes, refusesCertificate, refusesPassword } from "../secure-checks.ts";
import { makeCertificate } from "../../servers/certificate.ts";
import {
  rabbitmqServerPath,
  startRabbitmqServer,
  type RabbitmqServer,
} from "../../servers/rabbitmq-server.ts";
import { freePort, makeTempFolder } from "../../servers/temporary.ts";

const folder = await makeTempFolder();
const certificate = makeCertificate(folder);
let skip: string | false = false;
if (rabbitmqServerPath() === undefined) skip = "there is no rabbitmq-server here";
else if (!certificate) skip = "there is no openssl here";
const options = { skip, timeout: 90_000 };
const tlsPort = await freePort();
let server: RabbitmqServer | undefined;
if (!skip) {
  const { key, ca } = certificate!;
  server = await startRabbitmqServer([
    `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
    ...[`ssl_options.cacertfile = ${ca}`, `ssl_options.certfile = ${ca}`],
    ...[`ssl_options.keyfile = ${key}`, "default_user = team", "default_pass = s3cret/"],
  ]);
}
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const address = (credentials: string): string => `amqps://${credentials}@127.0.0.1:${tlsPort}`;
const plain = (): string => `amqp://team:s3cret%2F@127.0.0.1:${server!.port}`;

test("a bus works over TLS with a password", options, async () => {
  const connection = { ca: [await readFile(certificate!.ca)] };
  await carriesNotes(rabbitmq(address("team:s3cret%2F"), { connection }));
});

test("a wrong password is refused at the first try, and in no message", options, async () => {
  await refusesPassword(rabbitmq(`amqp://team:hunter2@127.0.0.1:${server!.port}`), /hunter2/);
});

test("a server whose certificate nobody vouches for is not talked to", options, () =>
  refusesCertificate(rabbitmq(address("team:s3cret%2F"), { connectTimeoutMs: 300 }), /s3cret/),
);

test("a connection that is handed in serves two buses and stays open", options, async () => {
  const connection = await connect(plain(), { noDelay: true });
  for (const group of ["one", "two"]) await carriesNotes(rabbitmq(connection), group);
  await (await connection.createChannel()).close();
  await connection.close();
  const transport = rabbitmq(connection, { requestTimeoutMs: 300 });
  await assert.rejects(transport.publish([]), (error) => isCadreError(error, "UNREACHABLE"));
  assert.equal((await transport.health!()).ok, false);
  await transport.close();
});

function letterOf(n: number, changes: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: `readers/${n}`,
    group: "readers",
    reason: "terminal",
    error: { name: "Error", message: `number ${n}` },
    attempts: n,
    position: "0",
    firstFailedAt: 1,
    lastFailedAt: 2,
    ...changes,
  };
}

async function idsOf(transport: Transport, group?: string): Promise<string[]> {
  const ids: string[] = [];
  const query = group === undefined ? {} : { group };
  for await (const { id } of transport.deadLetters!.list(query)) ids.push(id);
  return ids;
}

test("dead letters are kept, replaced, listed in order and removed once", options, async () => {
  const [one, two] = [1, 2].map(() => rabbitmq(plain(), { prefix: "letters" }));
  const [mine, others] = [one!.deadLetters!, two!.deadLetters!];
  for (const n of [1, 2, 3]) await mine.put(letterOf(n));
  await mine.put(letterOf(4, { group: "writers", id: "writers/4" }));
  assert.deepEqual(await idsOf(two!), ["readers/1", "readers/2", "readers/3", "writers/4"]);
  assert.deepEqual(await idsOf(two!, "writers"), ["writers/4"]);
  assert.deepEqual(await others.get("readers/2"), letterOf(2));
  await mine.put(letterOf(2, { attempts: 9 }));
  assert.equal((await mine.get("readers/2"))?.attempts, 9, "who wrote it reads it at once");
  assert.deepEqual(await idsOf(one!, "readers"), ["readers/1", "readers/3", "readers/2"]);
  const removals = await Promise.all([mine.remove("readers/1"), others.remove("readers/1")]);
  assert.deepEqual(removals.toSorted(), [false, true], "one of two removes it");
  assert.equal(await mine.remove("readers/1"), false);
  assert.equal(await mine.get("readers/1"), undefined);
  assert.equal(await mine.get("nobody/1"), undefined);
  await Promise.all([one!.close(), two!.close()]);
  const later = rabbitmq(plain(), { prefix: "letters" });
  assert.deepEqual(await idsOf(later), ["readers/3", "writers/4", "readers/2"]);
  await later.close();
});

test("dead letters outlive their bus and a SIGKILL of the server", options, async () => {
  const open = (): Transport => rabbitmq(plain(), { prefix: "killed", requestTimeoutMs: 20_000 });
  const bus = createBus({ transport: open() });
  await bus.subscribe("note.*", { group: "readers" }, () => {
    throw new TerminalError("unreadable");
  });
  const stays = open();
  assert.deepEqual(await idsOf(stays), []);
  // What was made a moment before a SIGKILL, the server itself may not find again.
  await server!.restart();
  const { id } = await bus.publish("note.taken", {});
  while ((await idsOf(stays)).length === 0) await systemClock.sleep(10);
  await bus.close();
  await server!.kill();
  await server!.restart();
  assert.deepEqual(await idsOf(stays), [`readers/${id}`], "also for who was connected");
  const again = createBus({ transport: open() });
  const redriven = Promise.withResolvers<unknown>();
  await again.subscribe("note.*", { group: "readers" }, (event) => redriven.resolve(event.id));
  assert.equal(await again.deadLetters.redrive(`readers/${id}`), true);
  assert.equal(await redriven.promise, id);
  assert.deepEqual(await idsOf(stays), []);
  await Promise.all([again.close(), stays.close()]);
});
