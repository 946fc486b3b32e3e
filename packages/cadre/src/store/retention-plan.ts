/**
 * What a rule removes now.
 *
 *   oldest ──────────────────────────────────────────────▶ newest
 *   [ over a limit: may go, but for what is held ][ kept ][ held: after the lowest checkpoint ]
 *
 * Events of a guarded stream (a task's) go together, once the stream is finished and the whole of
 * it may go. Those of an agent's own stream, and the records of removals, never go.
 */
import { utf8Bytes } from "../core/json.ts";
import type { EventStore, LogPosition, StoredEvent } from "./event-store.ts";
import type { HeldPlaces } from "./holds.ts";
import type { RetentionRule } from "./retention-rule.ts";
import { auditPrefix } from "./seal.ts";
import { readRows } from "./store-query.ts";

/** A family of streams that are of use only whole. */
export interface StreamGuard {
  readonly prefix: string;
  /** Whether nobody needs the stream any more. */
  readonly isFinished: (store: EventStore, stream: string) => Promise<boolean>;
}

export interface RulePlan {
  /** Events that the rule is about. */
  readonly matched: number;
  /** No more places than were asked for; those of one unit go in one commit. */
  readonly units: readonly (readonly LogPosition[])[];
  /** Events over a limit that must stay. */
  readonly held: number;
  /** There is more to remove than was asked for. */
  readonly isCutShort: boolean;
}

export interface PlanContext {
  readonly store: EventStore;
  /** By the store's clock. */
  readonly now: number;
  readonly held: HeldPlaces;
  readonly guards: readonly StreamGuard[];
  /** Places that an earlier rule removes. */
  readonly taken: Set<LogPosition>;
  readonly maxRows: number;
}

const neverRemoved = [auditPrefix, "agent/"];
const maxVerdicts = 10_000; // streams whose verdict is remembered

export async function planRule(rule: RetentionRule, context: PlanContext): Promise<RulePlan> {
  return new Planning(rule, context).run();
}

class Planning {
  readonly #rule: RetentionRule;
  readonly #context: PlanContext;
  readonly #cutoff: number;
  readonly #verdicts = new Map<string, readonly LogPosition[]>();
  readonly #units: (readonly LogPosition[])[] = [];
  #held = 0;
  #isCutShort = false;

  constructor(rule: RetentionRule, context: PlanContext) {
    this.#rule = rule;
    this.#context = context;
    const age = rule.maxAgeMs;
    this.#cutoff = age === undefined ? -Infinity : context.now - age;
  }

  async run(): Promise<RulePlan> {
    const { store } = this.#context;
    let { events: left, bytes: leftBytes } = await this.#measure();
    const matched = left;
    const { maxEvents = Infinity, maxBytes = Infinity } = this.#rule;
    for await (const row of readRows(store, this.#query)) {
      const isOver = left > maxEvents || leftBytes > maxBytes;
      if (!isOver && row.recordedAt >= this.#cutoff) break;
      if (this.#isExempt(row)) continue;
      left -= 1;
      leftBytes -= maxBytes === Infinity ? 0 : bytesOf(row);
      await this.#judge(row);
      if (this.#isCutShort) break;
    }
    return { matched, units: this.#units, held: this.#held, isCutShort: this.#isCutShort };
  }

  get #query(): { readonly type?: string; readonly streamPrefix?: string } {
    const { type, streamPrefix } = this.#rule;
    return {
      ...(type === undefined ? {} : { type }),
      ...(streamPrefix === undefined ? {} : { streamPrefix }),
    };
  }

  async #measure(): Promise<{ events: number; bytes: number }> {
    let [events, bytes] = [0, 0];
    const needsBytes = this.#rule.maxBytes !== undefined;
    for await (const row of readRows(this.#context.store, this.#query)) {
      if (this.#isExempt(row)) continue;
      events += 1;
      if (needsBytes) bytes += bytesOf(row);
    }
    return { events, bytes };
  }

  #isExempt({ stream }: StoredEvent): boolean {
    return neverRemoved.some((prefix) => stream?.startsWith(prefix) ?? false);
  }

  async #judge(row: StoredEvent): Promise<void> {
    const { held, guards, taken } = this.#context;
    const { position, stream } = row;
    if (taken.has(position)) return;
    const guard = guards.find(({ prefix }) => stream?.startsWith(prefix) ?? false);
    if (held.has(position)) this.#held += 1;
    else if (!guard || stream === undefined) this.#take([position]);
    else {
      const places = await this.#wholeStream(guard, stream);
      if (places.length === 0) this.#held += 1;
      else this.#take(places);
    }
  }

  /** The places of a guarded stream that may go now; none when it must stay. */
  async #wholeStream(guard: StreamGuard, stream: string): Promise<readonly LogPosition[]> {
    const known = this.#verdicts.get(stream);
    if (known) return known;
    const places = await this.#judgeStream(guard, stream);
    if (this.#verdicts.size >= maxVerdicts) this.#verdicts.clear();
    this.#verdicts.set(stream, places);
    return places;
  }

  async #judgeStream(guard: StreamGuard, stream: string): Promise<readonly LogPosition[]> {
    const { store, held } = this.#context;
    // A rule about some of its events alone would leave a part of the stream.
    if (this.#rule.type !== undefined && this.#rule.type !== "#") return [];
    const places: LogPosition[] = [];
    for await (const { position, recordedAt } of readRows(store, { stream })) {
      if (held.has(position)) return [];
      if (this.#rule.maxAgeMs !== undefined && recordedAt >= this.#cutoff) return [];
      places.push(position);
    }
    return (await guard.isFinished(store, stream)) ? places : [];
  }

  #take(places: readonly LogPosition[]): void {
    const { taken, maxRows } = this.#context;
    const fresh = places.filter((place) => !taken.has(place));
    if (this.#units.length > 0 && taken.size + fresh.length > maxRows) {
      this.#isCutShort = true;
      return;
    }
    if (fresh.length === 0) return;
    for (const place of fresh) taken.add(place);
    this.#units.push(fresh);
  }
}

function bytesOf({ event }: StoredEvent): number {
  return utf8Bytes(JSON.stringify(event.payload) ?? "null");
}
