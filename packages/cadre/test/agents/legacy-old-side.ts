/** A team with a bridge, and the programs of an older system as a plain bus. */
import { createBus, memory, memoryCarrier, SeededRandom, type } from "cadre";
import type { AgentEvent, Bus, Transport } from "cadre";
import { defineTask, legacyBridge, type Cadre } from "cadre/agents";
import type { LegacyAgent, LegacyBridgeOptions } from "cadre/agents";
import { testTeam } from "cadre/testing";

export const WriteCode = defineTask({
  name: "write.code",
  input: type<{ issue: number }>(),
  output: type<{ patch: string }>(),
  drift: "warn",
});

export type Reply = (assigned: AgentEvent, old: OldSide) => unknown;

/** A team with a bridge, and older programs on topics of their own. */
export class OldSide {
  readonly bench = testTeam();
  readonly #carrier = memoryCarrier({ clock: this.bench.clock });
  readonly #random = new SeededRandom(5);
  readonly bus: Bus = this.busOf("CoderAgent");
  /** What was sent to the older agents, in order. */
  readonly sent: AgentEvent[] = [];
  readonly seen: AgentEvent[] = [];
  reply: Reply = () => undefined;

  busOf(source: string, transport: Transport = memory({ carrier: this.#carrier })): Bus {
    return createBus({
      transport,
      clock: this.bench.clock,
      random: this.#random.fork(`${source}-${Math.floor(this.#random.next() * 1e9)}`),
      source,
    });
  }

  transport(): Transport {
    return memory({ carrier: this.#carrier });
  }

  async listen(): Promise<void> {
    await this.bus.subscribe("#", (event) => {
      this.seen.push(event);
      if (event.type !== "task.assigned" || event.source !== "cadre") return;
      this.sent.push(event);
      return this.reply(event, this);
    });
  }

  /** As the older agent says it. */
  say(type: string, payload: object, source = "CoderAgent", id?: string): Promise<AgentEvent> {
    return this.bus.publish(type, payload, { source, ...(id === undefined ? {} : { id }) });
  }

  complete(assigned: AgentEvent, more: object = {}): Promise<AgentEvent> {
    const { task_id } = assigned.payload as { task_id: string };
    return this.say("task.completed", { task_id, result: { patch: "+1" }, ...more });
  }

  bridge(options: Partial<LegacyBridgeOptions> = {}, agents = [coder]) {
    const { clock } = this.bench;
    const random = new SeededRandom(9);
    return legacyBridge({ bus: this.busOf("cadre"), agents, clock, random, ...options });
  }

  async team(options: Partial<LegacyBridgeOptions> = {}, agents = [coder]): Promise<Cadre> {
    const bridge = this.bridge(options, agents);
    const team = await this.bench.start({ agents: bridge.agents });
    await bridge.start(team);
    return team;
  }

  async typesOf(id: string): Promise<readonly string[]> {
    const types: string[] = [];
    for await (const { event } of this.bench.store.read({ stream: `task/${id}` })) {
      if (event.type.startsWith("task.")) types.push(event.type);
    }
    return types;
  }

  async close(): Promise<void> {
    await this.bench.close();
    await this.bus.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export const coder: LegacyAgent = { name: "CoderAgent", does: [WriteCode], silentMs: 60_000 };

export async function oldSide(reply: Reply = () => undefined): Promise<OldSide> {
  const old = new OldSide();
  old.reply = reply;
  await old.listen();
  return old;
}
