/**
 * Watches flows for what is expected next: a projection of the log by correlation id.
 *
 *   after ──▶ expected ──next, in time──▶ (forgotten)
 *                 └──time is over──▶ flow.stuck ──next, late──▶ flow.resumed
 *
 * Every process of a team may watch. Each reads the log for itself and says the same: the ids of
 * what it says follow from the expectation and the event, so that the log takes one of each. What
 * is open is kept in a slot, with the position up to which it was read; a first start begins at the
 * head of the log.
 */
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import type { FlowExpectation } from "./flow-expectation.ts";
import { hashInput } from "../input-hash.ts";

export interface FlowWatch {
  close(): Promise<void>;
}

/** What is expected in one flow, after one event. */
interface Open {
  readonly expectation: string;
  readonly flow: string;
  /** The event after which it is expected: its id and its type. */
  readonly after: string;
  readonly afterType: string;
  readonly dueAt: number;
  /** The last event of the flow. */
  last: string;
  lastType: string;
  stuck?: true;
}

interface Kept {
  readonly position: number;
  readonly open: readonly Open[];
}

const keepEveryMs = 10_000; // between two checkpoints: a restart reads so much again
const eventsPerTurn = 256;
const maxOpen = 100_000; // expectations in memory; beyond it the oldest is let go, and said so
const retryMs = 500;
const slotPrefix = "flows/";

export async function startFlowWatch(
  context: TeamContext,
  expectations: readonly FlowExpectation[],
): Promise<FlowWatch> {
  const watch = new FlowWatcher(context, expectations);
  await watch.start();
  return watch;
}

class FlowWatcher implements FlowWatch {
  readonly #context: TeamContext;
  readonly #expectations: ReadonlyMap<string, FlowExpectation>;
  readonly #slot: string;
  /** By expectation and event, the oldest first. */
  readonly #open = new Map<string, Open>();
  readonly #byFlow = new Map<string, Set<Open>>();
  #position = 0;
  #slotVersion = 0;
  #keptAt = -Infinity;
  #keptPosition = -1;
  #working: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #unwatch: () => void = () => {};
  #cancelDue: () => void = () => {};
  readonly #stop = new AbortController();

  constructor(context: TeamContext, expectations: readonly FlowExpectation[]) {
    this.#context = context;
    this.#expectations = new Map(expectations.map((each) => [each.name, each]));
    const definitions = expectations.map(({ definition }) => definition).toSorted();
    this.#slot = `${slotPrefix}${hashInput(definitions)}`;
  }

  async start(): Promise<void> {
    const { store } = this.#context;
    const kept = await store.slot(this.#slot);
    if (kept) {
      const { position, open } = JSON.parse(kept.value) as Kept;
      this.#position = position;
      this.#slotVersion = kept.version;
      for (const each of open) this.#add(each);
    } else {
      this.#position = await store.head();
      await this.#keep(true);
    }
    this.#unwatch = store.watch(() => void this.#look());
    void this.#look();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stop.abort();
    this.#unwatch();
    this.#cancelDue();
    await this.#working;
    await this.#keep(true).catch(() => undefined);
  }

  #look(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#again = true;
    this.#working ??= this.#lookAll().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  async #lookAll(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        await this.#read();
        await this.#report();
        await this.#keep(false);
      } catch (error) {
        if (this.#closed || isCadreError(error, "CLOSED")) return;
        this.#context.logger.warn("The watch over flows was interrupted; it goes on.", { error });
        await this.#context.clock.sleep(retryMs, this.#stop.signal).catch(() => undefined);
        this.#again = true;
      }
    }
    this.#arm();
  }

  async #read(): Promise<void> {
    let sinceYield = 0;
    for await (const stored of this.#context.store.read({ after: this.#position })) {
      if (this.#closed) return;
      if (!stored.private) await this.#apply(stored.event);
      this.#position = stored.position;
      sinceYield += 1;
      if (sinceYield < eventsPerTurn) continue;
      sinceYield = 0;
      await this.#context.clock.yield();
    }
  }

  async #apply(event: AgentEvent): Promise<void> {
    if (event.type.startsWith("flow.")) return this.#said(event);
    const flow = event.metadata.correlationId;
    for (const open of [...(this.#byFlow.get(flow) ?? [])]) {
      if (this.#expectations.get(open.expectation)?.meets(event)) {
        if (open.stuck) await this.#sayResumed(open, event);
        this.#remove(open);
      } else {
        open.last = event.id;
        open.lastType = event.type;
      }
    }
    for (const { name, withinMs, begins } of this.#expectations.values()) {
      if (!begins(event)) continue;
      const { id: after, type: afterType, timestamp } = event;
      const dueAt = timestamp + withinMs;
      this.#add({
        expectation: name,
        flow,
        after,
        afterType,
        dueAt,
        last: after,
        lastType: afterType,
      });
    }
  }

  /** Whoever said it: he may have died before it was kept. */
  #said({ type, payload }: AgentEvent): void {
    if (type !== "flow.stuck") return;
    const { expectation, after } = payload as Pick<Open, "expectation" | "after">;
    const open = this.#open.get(`${expectation}/${after}`);
    if (open) open.stuck = true;
  }

  #add(open: Open): void {
    const key = `${open.expectation}/${open.after}`;
    if (this.#open.has(key)) return;
    this.#open.set(key, open);
    const same = this.#byFlow.get(open.flow);
    if (same) same.add(open);
    else this.#byFlow.set(open.flow, new Set([open]));
    if (this.#open.size <= maxOpen) return;
    const [oldest] = this.#open.values();
    if (!oldest) return;
    this.#remove(oldest);
    const message = `More than ${maxOpen} expectations are open: the oldest is watched no longer.`;
    this.#context.logger.warn(message, { flow: oldest.flow, expectation: oldest.expectation });
  }

  #remove(open: Open): void {
    this.#open.delete(`${open.expectation}/${open.after}`);
    const same = this.#byFlow.get(open.flow);
    if (same?.delete(open) && same.size === 0) this.#byFlow.delete(open.flow);
  }

  /** Says of each that is overdue that its flow is stuck. */
  async #report(): Promise<void> {
    const now = this.#context.clock.now();
    for (const open of this.#open.values()) {
      if (open.stuck || open.dueAt > now) continue;
      await this.#sayStuck(open);
      open.stuck = true;
    }
  }

  async #sayStuck(open: Open): Promise<void> {
    const { expectation, flow, after, afterType, dueAt, last, lastType } = open;
    const expected = this.#expectations.get(expectation)?.expected ?? "";
    const reason =
      `after ${afterType}, ${expected} was expected within ` +
      `${this.#expectations.get(expectation)?.withinMs} ms; the last that came was ${lastType}`;
    const fields = { flow, expectation, after, afterType, expected, dueAt, last, lastType, reason };
    const isFirst = await this.#say("flow.stuck", open, fields);
    if (!isFirst) return;
    const message = `Flow ${flow} is stuck: ${reason}.`;
    this.#context.bus.raise({ severity: "warning", code: "TIMEOUT", message });
  }

  async #sayResumed(open: Open, event: AgentEvent): Promise<void> {
    const { expectation, flow, after } = open;
    const fields = { flow, expectation, after, met: event.id, metType: event.type };
    await this.#say("flow.resumed", open, fields);
  }

  /** False when another process has said so already. */
  async #say(
    type: string,
    { expectation, flow, after }: Open,
    fields: Readonly<Record<string, unknown>>,
  ): Promise<boolean> {
    const { store, name } = this.#context;
    const id = `${type}/${expectation}/${after}`;
    const event = teamEvent(this.#context, name, type, fields, { id, correlationId: flow });
    const stream = `flow/${flow}`;
    try {
      const appends = [{ stream, expectedVersion: "any" as const, events: [event] }];
      return !(await store.commit({ appends })).duplicate;
    } catch (error) {
      if (isCadreError(error, "DUPLICATE_ID")) return false;
      throw error;
    }
  }

  #arm(): void {
    this.#cancelDue();
    if (this.#closed) return;
    let dueAt = Infinity;
    for (const open of this.#open.values()) {
      if (!open.stuck) dueAt = Math.min(dueAt, open.dueAt);
    }
    if (!Number.isFinite(dueAt)) return;
    const leftMs = Math.max(1, dueAt - this.#context.clock.now());
    this.#cancelDue = this.#context.clock.after(leftMs, () => void this.#look());
  }

  async #keep(now: boolean): Promise<void> {
    const { clock, store } = this.#context;
    if (this.#position === this.#keptPosition) return;
    if (!now && clock.monotonic() - this.#keptAt < keepEveryMs) return;
    this.#keptAt = clock.monotonic();
    const kept: Kept = { position: this.#position, open: [...this.#open.values()] };
    const value = JSON.stringify(kept);
    const slots = [{ name: this.#slot, expectedVersion: this.#slotVersion, value }];
    try {
      await store.commit({ slots });
      this.#slotVersion += 1;
      this.#keptPosition = kept.position;
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      // Another process keeps it; any checkpoint is as good as another.
      this.#slotVersion = (await store.slot(this.#slot))?.version ?? 0;
    }
  }
}
