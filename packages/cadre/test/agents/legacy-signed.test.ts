/** The bridge to older systems in a team where all must sign. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkSignature,
  createEvent,
  createIdentity,
  SeededRandom,
  signEvent,
  type AgentEvent,
  type Identity,
} from "cadre";
import { coder, oldSide, WriteCode, type OldSide } from "./legacy-old-side.ts";
import type { Cadre, LegacyBridgeOptions } from "cadre/agents";

const keyOf = (n: number): Identity => createIdentity({ seed: new Uint8Array(32).fill(n) });
const team = keyOf(1);
const bridging = keyOf(2);
const insider = keyOf(3);

async function signedTeam(
  old: OldSide,
  identity: Identity | undefined,
  options: Partial<LegacyBridgeOptions> = {},
): Promise<Cadre> {
  const bridge = old.bridge(options, [coder]);
  const cadre = await old.bench.start({
    agents: bridge.agents,
    signatures: { trusted: { insider: insider.did } },
    ...(identity ? { identity } : {}),
  });
  await bridge.start(cadre);
  return cadre;
}

async function assertAllSigned(old: OldSide, signers: Record<string, string>): Promise<void> {
  let count = 0;
  for await (const { event } of old.bench.store.read()) {
    const signer = signers[event.source] ?? team.did;
    assert.deepEqual(checkSignature(event), { valid: true, signer }, event.type);
    count += 1;
  }
  assert.ok(count > 5);
}

for (const own of [false, true]) {
  const who = own ? "with its own key" : "with the team's key";
  test(`all that the bridge says and rejects is signed ${who}`, async () => {
    await using old = await oldSide((assigned, side) =>
      side.sent.length === 2 ? side.complete(assigned) : undefined,
    );
    const cadre = await signedTeam(old, team, own ? { identity: bridging } : {});
    const handle = await cadre.tasks.create(WriteCode, { issue: 7 });
    assert.deepEqual(await old.bench.until(handle.result(), 600_000), { patch: "+1" });
    // Of the first assignment, whose lease has ended: on record as rejected.
    await old.say("task.failed", { task_id: handle.id, error: "late", assignment: 1 });
    await old.bench.clock.advance(1_000);
    assert.ok((await old.typesOf(handle.id)).includes("task.result_rejected"));
    const its = own ? { "legacy-bridge": bridging.did, coderagent: bridging.did } : {};
    await assertAllSigned(old, its);
  });
}

test("a bridge without a key cannot start where all must sign", async () => {
  await using old = await oldSide();
  await assert.rejects(signedTeam(old, undefined), (error: Error) => {
    assert.match(error.message, /identity/);
    return (error as { code?: string }).code === "INVALID_OPTION";
  });
});

test("a result that the bridge has not heard ends no task of an older agent", async () => {
  await using old = await oldSide();
  const cadre = await signedTeam(old, team);
  const handle = await cadre.tasks.create(WriteCode, { issue: 7 });
  await old.bench.clock.advance(1_000);
  assert.equal(old.sent.length, 1);
  const making = { clock: old.bench.clock, random: new SeededRandom(3), source: "insider" };
  const lie = { taskId: handle.id, agent: "CoderAgent", assignment: 1, outcome: "completed" };
  const event = createEvent(making, "custom.legacy.result", { ...lie, result: { patch: "evil" } });
  const heard: AgentEvent[] = [];
  await cadre.bus.subscribe("custom.legacy.#", (each) => void heard.push(each));
  await cadre.bus.publishEvent(signEvent(event, insider));
  await old.bench.clock.advance(1_000);
  assert.equal(heard.length, 1); // it came, and was good as far as its signature goes
  assert.notEqual((await handle.state()).status, "completed");
  await old.complete(old.sent[0]!);
  assert.deepEqual(await old.bench.until(handle.result()), { patch: "+1" });
});
