import { systemClock } from "cadre";
import type { Directory } from "cadre/agents";
import type { Crew } from "./crew.ts";
import { documentsDone, type DeskView } from "./desk-view.ts";
import type { AgentLoad, Progress } from "./progress-view.ts";
import { agentsOf } from "./worker-order.ts";

const rateWindowMs = 5_000;

interface Sample {
  readonly at: number;
  readonly done: number;
}

/** Makes what is shown out of the view of the log and the directory of agents. */
export class ProgressMeter {
  readonly #crew: Crew;
  readonly #directory: Directory;
  readonly #documents: number;
  readonly #startedAt: number = systemClock.monotonic();
  #samples: readonly Sample[] = [];

  constructor(parts: {
    readonly crew: Crew;
    readonly directory: Directory;
    readonly documents: number;
  }) {
    this.#crew = parts.crew;
    this.#directory = parts.directory;
    this.#documents = parts.documents;
  }

  read(view: DeskView): Progress {
    const now = systemClock.monotonic();
    const recent = this.#samples.filter(({ at }) => now - at <= rateWindowMs);
    this.#samples = [...recent, { at: now, done: view.completed }];
    const [first] = this.#samples;
    const overMs = now - (first?.at ?? now);
    const gained = view.completed - (first?.done ?? 0);
    return {
      tasksDone: view.completed,
      tasksTotal: view.planned,
      documentsDone: documentsDone(view),
      documentsTotal: this.#documents,
      elapsedMs: now - this.#startedAt,
      tasksPerSecond: overMs > 0 ? (gained / overMs) * 1_000 : 0,
      agents: this.#loads(view),
    };
  }

  #loads(view: DeskView): readonly AgentLoad[] {
    return this.#crew.workers.flatMap((worker) =>
      agentsOf(worker.order).map((name): AgentLoad => {
        const record = view.agents.get(name);
        const entry = this.#directory
          .find({ agent: name })
          .find(({ card }) => card.pid === worker.pid);
        const [label] = record?.holds.values() ?? [];
        const running = record?.holds.size ?? 0;
        return {
          name,
          status: statusOf(entry?.presence, running),
          running,
          capacity: entry?.card.capacity ?? 1,
          done: record?.done ?? 0,
          ...(label === undefined ? {} : { doing: label }),
        };
      }),
    );
  }
}

function statusOf(presence: string | undefined, running: number): AgentLoad["status"] {
  if (presence === undefined || presence === "left") return "starting";
  if (presence === "dead" || presence === "suspected") return presence;
  return running > 0 ? "working" : "idle";
}
