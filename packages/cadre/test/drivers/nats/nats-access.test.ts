/** Ways to be let in, and a stream that is full. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createUser } from "@nats-io/nkeys";
import { DiscardPolicy, jetstreamManager } from "@nats-io/jetstream";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import { createEvent, isCadreError, secureRandom, systemClock, type AgentEvent } from "cadre";
import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";
import { withTempFolder } from "../../servers/temporary.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;
const options = { skip, timeout: 30_000 };

function makeEvent(type: string): AgentEvent {
  return createEvent({ clock: systemClock, random: secureRandom, source: "test" }, type, {});
}

test("a token in the address lets in, another does not", options, async () => {
  await using server = await startNatsServer(["--auth", "s3cret"]);
  const transport = nats(`nats://s3cret@127.0.0.1:${server.port}`);
  const [result] = await transport.publish([{ event: makeEvent("note.taken") }]);
  assert.equal(result!.ok, true);
  await transport.close();
  const stranger = nats(`nats://hunter2@127.0.0.1:${server.port}`);
  await assert.rejects(stranger.publish([]), (error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.doesNotMatch(`${error.message} ${JSON.stringify(error.details)}`, /hunter2/);
    return true;
  });
  await stranger.close();
});

test("an nkey lets in, another does not", options, () =>
  withTempFolder(async (folder) => {
    const [friend, stranger] = [createUser(), createUser()];
    const file = join(folder, "nats.conf");
    await writeFile(file, `authorization { users: [{ nkey: ${friend.getPublicKey()} }] }\n`);
    await using server = await startNatsServer(["-c", file]);
    const open = (seed: Uint8Array): ReturnType<typeof nats> =>
      nats(server.url, { connection: { authenticator: nkeyAuthenticator(seed) } });
    const transport = open(friend.getSeed());
    const [result] = await transport.publish([{ event: makeEvent("note.taken") }]);
    assert.equal(result!.ok, true);
    await transport.close();
    const other = open(stranger.getSeed());
    await assert.rejects(other.publish([]), (error) => isCadreError(error, "UNREACHABLE"));
    await other.close();
  }),
);

test(
  "a stream that is full refuses publishes with STORE_FULL until it has room",
  options,
  async () => {
    await using server = await startNatsServer();
    const transport = nats(server.url);
    await transport.publish([{ event: makeEvent("note.first") }]);
    const client = await connect({ servers: server.url });
    const manager = await jetstreamManager(client);
    await manager.streams.update("cadre", { max_msgs: 1, discard: DiscardPolicy.New });
    const [full] = await transport.publish([{ event: makeEvent("note.second") }]);
    assert.ok(!full!.ok && isCadreError(full!.error, "STORE_FULL"), JSON.stringify(full));
    await manager.streams.purge("cadre");
    const [again] = await transport.publish([{ event: makeEvent("note.third") }]);
    assert.equal(again!.ok, true);
    await client.close();
    await transport.close();
  },
);
