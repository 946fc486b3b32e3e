// A transport of your own: a broker that is one file, and the suite that shows that it is fit.
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CadreError, compilePattern, decodeEvent, encodeEvent, systemClock as clock } from "cadre";
import type { Capabilities, ConsumeSpec, Intake, Lease, Outgoing, PublishResult } from "cadre";
import type { Recorded, Settlement, Transport } from "cadre";
import { transportConformance } from "cadre/testing";

/** What it can do, as data. What is missing, such as priorities, the bus does or refuses. */
const capabilities: Capabilities = {
  durable: "process",
  durableGroups: true,
  history: "none",
  order: "none",
  keyOrder: [],
  maxRetryDelayMs: Number.MAX_SAFE_INTEGER,
  durableDelay: false,
  delayedPublish: false,
  durableAttempts: true,
  priorities: false,
  publisherDedupeMs: 0,
  reportsUnroutable: false,
  maxBytes: 1_048_576,
  crossesProcess: true,
  effects: "at-least-once",
};

/** An event in a group: free from `freeAt` on; until then `owner` owns it, or nobody does. */
type Entry = { recorded: Recorded; attempt: number; freeAt: number; owner?: object | undefined };
type Definition = Pick<ConsumeSpec, "patterns" | "definition">;
/** `missed` counts what a slow broadcast lost to its bound. */
type Group = Definition & { entries: Map<string, Entry>; maxQueued: number; missed: number };
type EventLine = { event: string; at: number; to?: Outgoing["to"] };
/** A line of the file: a group, an event, or what became of an event in a group. */
type Line =
  | ({ group: string } & Definition)
  | EventLine
  | { of: string; position: string; attempt?: number; parked?: true };

class FileBroker {
  readonly groups = new Map<string, Group>();
  changed: AbortController = new AbortController();
  readonly #path: string;
  #position = 0;

  constructor(path: string) {
    this.#path = path;
    const text = fs.existsSync(path) ? fs.readFileSync(path, "utf8") : "";
    const whole = text.slice(0, text.lastIndexOf("\n") + 1); // a crash may have cut a line off
    fs.writeFileSync(path, whole);
    for (const line of whole.split("\n").slice(0, -1)) this.#apply(JSON.parse(line) as Line);
  }

  write(line: Line): void {
    fs.appendFileSync(this.#path, `${JSON.stringify(line)}\n`);
    this.#apply(line);
    this.wake();
  }

  open({ group, ...definition }: { group: string } & Definition, maxQueued: number): void {
    this.groups.set(group, { ...definition, entries: new Map(), maxQueued, missed: 0 });
  }

  wake(): void {
    this.changed.abort();
    this.changed = new AbortController();
  }

  #apply(line: Line): void {
    const position = String((this.#position += 1));
    if ("group" in line) this.open(line, Infinity);
    else if ("event" in line) this.#hand(line, position);
    else {
      const entries = this.groups.get(line.of)?.entries;
      const entry = entries?.get(line.position);
      if (line.attempt === undefined) entries?.delete(line.position);
      else if (entry) entry.attempt = line.attempt;
      if (entry && line.parked) entry.freeAt = Infinity;
    }
  }

  #hand({ event: text, at, to }: EventLine, position: string): void {
    const event = decodeEvent(new TextEncoder().encode(text));
    for (const [name, group] of this.groups) {
      const { entries } = group;
      const takes = group.patterns.some((pattern) => compilePattern(pattern)(event.type));
      if (to ? to.group !== name : !takes) continue;
      for (const [waiting, { recorded, owner }] of to ? entries : []) {
        if (recorded.event?.id === event.id && !owner) entries.delete(waiting); // it waits once
      }
      const recorded = { position, recordedAt: at, event };
      entries.set(position, { recorded, attempt: to?.attempt ?? 1, freeAt: 0 });
      if (entries.size <= group.maxQueued) continue;
      group.missed += 1;
      entries.delete(entries.keys().next().value!);
    }
  }
}

/** One delivery: `entry` is its owner's until it is settled or its time runs out. */
function leaseOf(broker: FileBroker, group: string, entry: Entry, isOpen: () => boolean): Lease {
  const { recorded, attempt } = entry;
  const owner = (entry.owner = {});
  let settled: Settlement["kind"] | undefined;
  const isOurs = (): boolean => {
    const kept = broker.groups.get(group)?.entries.get(recorded.position) === entry;
    return kept && entry.owner === owner && clock.now() < entry.freeAt && isOpen();
  };
  const settle = (settlement: Settlement): "ok" | "lost" => {
    if (settled) return settled === settlement.kind ? "ok" : "lost";
    if (!isOurs()) return "lost";
    settled = settlement.kind;
    entry.owner = undefined;
    entry.freeAt = clock.now() + (settlement.kind === "retry" ? settlement.delayMs : 0);
    const line = { of: group, position: recorded.position };
    if (settled === "release") broker.wake();
    else if (settled === "ack") broker.write(line);
    else if (settled === "retry") broker.write({ ...line, attempt: attempt + 1 });
    else broker.write({ ...line, attempt, parked: true });
    return "ok";
  };
  const extend = (ms: number): "ok" | "lost" => {
    if (!isOurs()) return "lost";
    entry.freeAt = clock.now() + ms;
    return "ok";
  };
  return {
    recorded,
    attempt,
    settle: async (settlement) => settle(settlement),
    extend: async (ms) => extend(ms),
  };
}

function publishOne(broker: FileBroker, { event, to }: Outgoing): PublishResult {
  try {
    const bytes = encodeEvent(event, { maxBytes: capabilities.maxBytes });
    if (to && !broker.groups.has(to.group)) throw new Error(`There is no group ${to.group}.`);
    const line = { event: new TextDecoder().decode(bytes), at: clock.now() };
    broker.write(to ? { ...line, to } : line);
    return { ok: true };
  } catch (error) {
    return { ok: false, error };
  }
}

class FileIntake implements Intake {
  readonly #broker: FileBroker;
  readonly #spec: ConsumeSpec;
  readonly #closed: AbortSignal;
  readonly #left = new AbortController();

  constructor(broker: FileBroker, spec: ConsumeSpec, closed: AbortSignal) {
    [this.#broker, this.#spec, this.#closed] = [broker, spec, closed];
  }

  get #group(): Group | undefined {
    return this.#broker.groups.get(this.#spec.subscription);
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    const ended = AbortSignal.any([signal, this.#left.signal, this.#closed]);
    while (!ended.aborted) {
      const entries = [...(this.#group?.entries.values() ?? [])];
      const free = entries.filter(({ freeAt }) => freeAt <= clock.now()).slice(0, max);
      if (free.length > 0) return free.map((entry) => this.#lend(entry));
      const ms = Math.min(60_000, ...entries.map(({ freeAt }) => freeAt - clock.now()));
      const woken = AbortSignal.any([ended, this.#broker.changed.signal]);
      await clock.sleep(ms, woken).catch(() => undefined);
    }
    return [];
  }

  missed(): number {
    const { missed = 0 } = this.#group ?? {};
    if (this.#group) this.#group.missed = 0;
    return missed;
  }

  async close(): Promise<void> {
    this.#left.abort();
    if (this.#spec.mode === "broadcast") this.#broker.groups.delete(this.#spec.subscription);
  }

  #lend(entry: Entry): Lease {
    const { subscription, leaseMs, mode } = this.#spec;
    if (entry.owner) entry.attempt += 1; // its owner's time ran out
    entry.freeAt = clock.now() + leaseMs;
    const lease = leaseOf(this.#broker, subscription, entry, () => !this.#closed.aborted);
    if (mode === "group") return lease;
    this.#group?.entries.delete(entry.recorded.position);
    return { ...lease, settle: async () => "ok", extend: async () => "ok" };
  }
}

function fileTransport(broker: FileBroker): Transport {
  const closed = new AbortController();
  const assertOpen = (): void => {
    if (!closed.signal.aborted) return;
    throw new CadreError("CLOSED", "The file transport was closed.", { what: "transport" });
  };
  const open = async (spec: ConsumeSpec): Promise<Intake> => {
    assertOpen();
    const { subscription: group, patterns, definition, mode, maxQueued } = spec;
    const known = broker.groups.get(group);
    if (known && known.definition !== definition) {
      const details = { group, expected: known.definition, actual: definition };
      throw new CadreError("GROUP_MISMATCH", `Group ${group} is defined otherwise.`, details);
    }
    if (mode === "broadcast") broker.open({ group, patterns, definition }, maxQueued);
    else if (!known) broker.write({ group, patterns, definition });
    return new FileIntake(broker, spec, closed.signal);
  };
  return {
    name: "file",
    capabilities,
    publish: async (batch) => {
      assertOpen();
      return batch.map((item) => publishOne(broker, item));
    },
    open,
    close: async () => closed.abort(),
  };
}

const folder = fs.mkdtempSync(join(tmpdir(), "own-transport-"));
const path = join(folder, "events.jsonl");
let broker = new FileBroker(path);
const checks: (() => Promise<void>)[] = [];
const report = await transportConformance({
  test: (_name, run) => checks.push(run),
  createTransport: () => fileTransport(broker),
  restart: async () => void (broker = new FileBroker(path)),
  leaseMs: 500,
});
for (const check of checks) await check().catch(() => undefined);
fs.rmSync(folder, { recursive: true });

const outcomes = Object.groupBy(report.results, ({ outcome }) => outcome);
for (const { id, name, reason } of outcomes.failed ?? []) console.log(id, name, reason);
console.log(`passed: ${(outcomes.passed ?? []).length > 80 ? "more than 80" : "too few"}`);
console.log(`failed: ${(outcomes.failed ?? []).length}`);

/* Output:
passed: more than 80
failed: 0
*/
