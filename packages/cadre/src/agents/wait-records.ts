/** The journal's records of a handler's waits: durable sleeps, and signals from outside. */
import type { AgentEvent } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import { text } from "./task-fold.ts";

/** What a wait has come to; without an event it took too long. */
export interface RecordedSignal {
  readonly event?: AgentEvent;
}

export class WaitRecords {
  readonly #dueAt = new Map<string, number>();
  readonly #signals = new Map<string, RecordedSignal>();
  readonly #taken = new Set<string>();

  /** Unix milliseconds at which the named time is over. */
  dueAt(name: string): number | undefined {
    return this.#dueAt.get(name);
  }

  signal(name: string): RecordedSignal | undefined {
    return this.#signals.get(name);
  }

  /** Whether a wait of this handler has taken this event. */
  hasTaken(eventId: string): boolean {
    return this.#taken.has(eventId);
  }

  /** Counts an event as taken; false when another wait was faster. */
  take(eventId: string): boolean {
    if (this.#taken.has(eventId)) return false;
    this.#taken.add(eventId);
    return true;
  }

  apply(event: AgentEvent): void {
    const fields = event.payload as Readonly<Record<string, JsonValue>>;
    const name = text(fields["step"]);
    if (event.type === "step.timer") {
      this.#dueAt.set(name, Number(fields["dueAt"]));
    } else if (event.type === "step.signal") {
      // It was an event when it was written, and the journal's records are read as they are.
      const found = fields["value"] as unknown as AgentEvent | undefined;
      this.#signals.set(name, found ? { event: found } : {});
      if (found) this.#taken.add(found.id);
    }
  }
}
