/** What says that rows were removed on purpose: an event of the log, and sealed like all of it. */
import type { EventContext, AgentEvent } from "../core/event.ts";
import { createEvent } from "../core/event.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import { auditPrefix } from "./seal.ts";

export const removalStream: string = `${auditPrefix}removals`;
const removalType = "log.removed";

interface RemovalRecord {
  /** Why: the rule that was followed. */
  readonly rule: string;
  readonly rows: number;
  /** First and last places of unbroken runs, in turn, ascending. */
  readonly positions: readonly LogPosition[];
}

export function removalEvent(
  context: EventContext,
  rule: string,
  positions: readonly LogPosition[],
): AgentEvent {
  const record: RemovalRecord = { rule, rows: positions.length, positions: runsOf(positions) };
  return createEvent(context, removalType, record);
}

/** Places in ascending order as unbroken runs: first, last, first, last … */
function runsOf(positions: readonly LogPosition[]): readonly LogPosition[] {
  const runs: number[] = [];
  for (const position of positions) {
    if (runs.length > 0 && position === runs.at(-1)! + 1) runs[runs.length - 1] = position;
    else runs.push(position, position);
  }
  return runs;
}

/** The places that records name, for asking about them in ascending order. */
export class RemovedPlaces {
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  #next = 0;

  private constructor(runs: readonly (readonly [number, number])[]) {
    this.#starts = Float64Array.from(runs, ([start]) => start);
    this.#ends = Float64Array.from(runs, ([, end]) => end);
  }

  static async read(store: EventStore): Promise<RemovedPlaces> {
    const runs: (readonly [number, number])[] = [];
    for await (const { event } of store.read({ stream: removalStream })) {
      for (const run of runsIn(event)) runs.push(run);
    }
    runs.sort(([left], [right]) => left - right);
    return new RemovedPlaces(runs);
  }

  /** Whether the place was removed. Ask in ascending order. */
  has(position: LogPosition): boolean {
    while (this.#next < this.#ends.length && this.#ends[this.#next]! < position) this.#next += 1;
    return this.#next < this.#starts.length && this.#starts[this.#next]! <= position;
  }
}

/** A record that was tampered with names nothing: the audit then finds the record itself. */
function* runsIn(event: AgentEvent): Iterable<readonly [number, number]> {
  const { positions } = (event.type === removalType ? payloadOf(event) : {}) as RemovalRecord;
  if (!Array.isArray(positions)) return;
  for (let at = 0; at + 1 < positions.length; at += 2) {
    const [start, end] = [Number(positions[at]), Number(positions[at + 1])];
    if (start <= end) yield [start, end];
  }
}

function payloadOf(event: AgentEvent): object {
  try {
    return event.payload ?? {};
  } catch {
    return {};
  }
}
