/**
 * Events between agents: said by tasks and by a client, told by whichever relay is active, heard by
 * two agents with places of their own, handled with steps, and answered.
 *
 *   task ──custom.said──▶ log ──relay──▶ bus ──▶ ear (counts) ──custom.heard──▶ log ──▶ … ──▶ echo
 */
import type { AgentDefinition } from "../../agents/agent.ts";
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import type { Clock } from "../../core/clock.ts";
import { createEvent } from "../../core/event.ts";
import { type } from "../../core/event-definition.ts";
import { SeededRandom } from "../../core/random.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { Scenario } from "../sim-options.ts";

const retry = { maxAttempts: 100 }; // an event may meet any number of deaths
const maxAttempts = 30;
const Say = defineTask({ name: "say", input: type<number>(), output: type<number>(), maxAttempts });
const sentences = 6;
const lines = 4;
const handlingMs = 300;
const lookMs = 1_000;
const patienceMs = 120_000; // then nothing fails any more, and what is left must be heard

const mouth = defineAgent({ name: "mouth", capacity: 2 }).does(Say, async (n, ctx) => {
  await ctx.publish("custom.said", { n });
  return ctx.step("say", () => n);
});

const ear = (): AgentDefinition<number> =>
  defineAgent({ name: "ear", state: { initial: 0, apply: (sum) => sum + 1 } }).on(
    "custom.said",
    { retry },
    async (event, ctx) => {
      const { n } = event.payload as { readonly n: number };
      const noted = await ctx.step("note", () => n);
      await ctx.clock.sleep(handlingMs, ctx.signal);
      await ctx.step("note-again", () => noted);
      ctx.record("custom.counted", { n: noted });
      await ctx.publish("custom.heard", { n: noted });
    },
  );

const echo = (): AgentDefinition<number> =>
  defineAgent({ name: "echo", state: { initial: 0, apply: (sum) => sum + 1 } }).on(
    "custom.heard",
    { retry },
    (event, ctx) => ctx.record("custom.echoed", event.payload),
  );

async function work(team: Cadre, clock: Clock): Promise<void> {
  const random = new SeededRandom(1);
  const tasks = [];
  for (let n = 0; n < sentences; n += 1) {
    tasks.push(await team.tasks.create(Say, n, { id: `sentence-${n}` }));
  }
  for (let n = sentences; n < sentences + lines; n += 1) {
    const event = createEvent({ clock, random, source: "client" }, "custom.said", { n });
    await team.store.commit({ outbox: [event] });
  }
  for (const task of tasks) await task.result();
  // What nobody hears in time is found by the invariant.
  for (let waited = 0; waited < patienceMs; waited += lookMs) {
    await clock.sleep(lookMs);
    if ((await eachOnce(team.store)).length === 0) return;
  }
}

/** What was said once must be counted once, heard once and echoed once. */
async function eachOnce(store: EventStore): Promise<readonly string[]> {
  const counts = new Map<string, number>();
  for await (const { event } of store.read({ type: "custom.*" })) {
    const { n } = event.payload as { readonly n: number };
    const key = `${event.type} ${n}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const wrong: string[] = [];
  for (const kind of ["said", "counted", "heard", "echoed"]) {
    for (let n = 0; n < sentences + lines; n += 1) {
      const times = counts.get(`custom.${kind} ${n}`) ?? 0;
      if (times !== 1) wrong.push(`sentence ${n} was ${kind} ${times} times`);
    }
  }
  return wrong;
}

/** See the head of the file. */
export const relay: Scenario = {
  agents: () => [mouth, ear(), echo()],
  work: (team, _world, clock) => work(team, clock),
  invariants: [eachOnce],
};
