/**
 * One process with an agent that runs tool loops of the real SDK, and is killed meanwhile. What the
 * provider was paid for, and what the tools have done, are lines of a file outside.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

import { systemClock } from "cadre";
import { startCadre, type LanguageModel } from "cadre/agents";
import {
  countingModel,
  Report,
  reporter,
  sdks,
  type Sdk,
  type World,
} from "../agents/models-sdk.ts";

/** Where the process kills itself, once: in the provider's work, or in a tool, by a number. */
export interface MemberOrders {
  readonly store: string;
  readonly effects: string;
  readonly sdk: string;
  readonly streams: boolean;
  readonly dieAt?: string;
  readonly thinkMs: number;
}

const timing = { heartbeatMs: 100, suspectAfterMs: 500, leaseMs: 1_000 } as const;

/** A list whose items are lines outside of the process; it dies where it is told to. */
function outside(orders: MemberOrders, kind: string): string[] {
  return new Proxy<string[]>([], {
    get: (_target, name) =>
      name === "push"
        ? (text: string) => {
            const line = `${kind} ${text}`;
            const times = seen(orders.effects).filter((known) => known.startsWith(kind)).length;
            dieOnce(orders, `${kind} ${times + 1}`);
            // What takes a key does nothing for one that it has seen.
            if (kind === "paid" || !seen(orders.effects).includes(line)) {
              appendFileSync(orders.effects, `${line}\n`);
            }
            dieOnce(orders, `${kind} ${times + 1} done`);
          }
        : undefined,
  });
}

export function seen(file: string): readonly string[] {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
}

function dieOnce({ effects, dieAt }: MemberOrders, place: string): void {
  const mark = `${effects}.died`;
  if (dieAt !== place || existsSync(mark)) return;
  writeFileSync(mark, place);
  process.kill(process.pid, "SIGKILL");
}

/** A provider that takes its time. The call is paid for when it answers. */
function slowly(world: World, sdk: Sdk, thinkMs: number): LanguageModel {
  const model = countingModel(world, sdk);
  const asked = (run: (call: never) => PromiseLike<unknown>) => async (call: never) => {
    await systemClock.sleep(thinkMs);
    return run(call);
  };
  return {
    ...model,
    doGenerate: asked((call) => model.doGenerate(call)),
    doStream: asked((call) => model.doStream(call)),
  };
}

const [given] = process.argv.slice(2);
if (given?.startsWith("{")) {
  const orders = JSON.parse(given) as MemberOrders;
  const sdk = sdks.find(({ name }) => name === orders.sdk) ?? sdks[0]!;
  const world = { paid: outside(orders, "paid"), booked: outside(orders, "booked") };
  const model = slowly(world, sdk, orders.thinkMs);
  const agents = [{ ...reporter(sdk, model, world, orders.streams), capacity: 4 }];
  await startCadre({ name: "member", agents, store: orders.store, ...timing });
  process.send?.("running");
}

export { Report, timing };
