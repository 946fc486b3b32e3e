/**
 * Says at once that nobody can take a task: a capability that no live agent offers is mostly a
 * misspelling, or a process that was not started.
 */
import { isCadreError } from "../../core/errors.ts";
import type { DirectoryEntry } from "../directory.ts";
import type { PresenceObserver } from "../presence.ts";
import type { TaskState } from "../task.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";

export class NobodyWatch {
  readonly #context: TeamContext;
  readonly #presence: PresenceObserver;
  /** Capabilities of which it was said that nobody offers them, until somebody does. */
  readonly #told = new Set<string>();
  readonly #looking = new Map<string, string>();
  /** Only while something is to be forgotten: who watches remembers every agent. */
  #stopWatching: (() => void) | undefined;

  constructor(context: TeamContext, presence: PresenceObserver) {
    this.#context = context;
    this.#presence = presence;
  }

  close(): void {
    this.#told.clear();
    this.#stopWatching?.();
    this.#looking.clear();
  }

  /** Why nobody takes what needs `capability`, in words; nothing, when somebody may. */
  why(capability: string): string | undefined {
    const entries = this.#presence.find({ capability });
    const live = entries.filter(({ presence }) => presence !== "dead" && presence !== "left");
    if (live.some(({ card }) => card.state === "running" || card.state === "asleep")) {
      return undefined;
    }
    if (live.length > 0) {
      const states = live.map(({ card }) => `${card.agent} is ${card.state}`);
      return `no agent that offers "${capability}" takes work: ${states.join(", ")}`;
    }
    const last = entries.reduce<DirectoryEntry | undefined>(
      (latest, entry) => (entry.silentMs < (latest?.silentMs ?? Infinity) ? entry : latest),
      undefined,
    );
    const seen = last
      ? `last seen: ${last.card.agent}, ${Math.round(last.silentMs / 1_000)} s ago`
      : "none was ever seen here";
    return `no live agent offers "${capability}", ${seen}`;
  }

  /** A task was created, and nobody here took it at once. */
  created({ id, capability }: Pick<TaskState, "id" | "capability">): void {
    if (this.#told.has(capability) || this.#looking.has(capability)) return;
    if (this.#presence.isServed(capability) || this.why(capability) === undefined) return;
    this.#looking.set(capability, id);
    this.#look(id, capability).catch((error: unknown) => {
      if (isCadreError(error, "CLOSED")) return;
      this.#context.logger.warn("Whether anybody takes a task could not be found out.", { error });
    });
  }

  /** Looks once more: an agent may have come since the last heartbeat. */
  async #look(taskId: string, capability: string): Promise<void> {
    try {
      await this.#presence.look();
    } finally {
      this.#looking.delete(capability);
    }
    const note = this.why(capability);
    if (note === undefined) return;
    this.#tell(capability);
    const { bus, logger, name } = this.#context;
    logger.warn(`A task waits for somebody to come: ${note}.`, { task: taskId, capability });
    const payload = { status: "unclaimed", taskId, note };
    await bus.publishEvent(teamEvent(this.#context, name, "status.updated", payload));
  }

  #tell(capability: string): void {
    this.#told.add(capability);
    this.#stopWatching ??= this.#presence.watch({ live: true }, ({ kind, entry: { card } }) => {
      if (kind === "left" || card.state !== "running") return;
      for (const served of card.capabilities) this.#told.delete(served);
      if (this.#told.size > 0) return;
      this.#stopWatching?.();
      this.#stopWatching = undefined;
    });
  }
}
