/**
 * A process of the failure-detection test: `URL NAME AGENTS` runs ten agents on one store, and the
 * orchestrator with them. It tells its parent of every verdict that it comes to. Ends by SIGKILL, or
 * by the message "stop".
 */
import { appendFileSync } from "node:fs";

import { secureRandom, systemClock, type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

/** What a process says of an agent. */
export interface Verdict {
  readonly kind: "suspected" | "dead" | "returned";
  readonly agent: string;
  readonly process: string;
  /** Of the machine's clock, which is one here. */
  readonly at: number;
}

const [url, name, count, effects] = process.argv.slice(2);

const Work = defineTask({
  name: "work",
  input: type<{ readonly n: number }>(),
  output: type<number>(),
  maxAttempts: 100,
});

const agents = Array.from({ length: Number(count) }, (_, index) =>
  defineAgent({ name: `${name}-${index}`, capacity: 2 }).does(Work, async ({ n }, ctx) => {
    await ctx.clock.sleep(100 + secureRandom.integer(1_500), ctx.signal);
    // A line is one write, and its key is the same in every attempt.
    const effect = (key: string): number => {
      appendFileSync(effects!, `${key}\n`);
      return n;
    };
    return ctx.step("effect", effect);
  }),
);

const team = await startCadre({
  agents,
  name: name!,
  store: url!,
  heartbeatMs: 500,
  suspectAfterMs: 1_500,
  leaseMs: 3_000,
});

team.directory.watch(({ card, presence }) => {
  if (presence !== "suspected" && presence !== "dead" && presence !== "returned") return;
  const verdict: Verdict = {
    kind: presence,
    agent: card.agent,
    process: card.incarnation,
    at: systemClock.now(),
  };
  process.send?.(verdict);
});

process.on("message", (message) => {
  if (message !== "stop") return;
  void team.close().then(() => process.disconnect());
});
process.send?.("ready");
