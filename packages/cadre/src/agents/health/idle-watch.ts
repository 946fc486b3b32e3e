/**
 * Finds agents that are idle beside work: they beat, have room and offer what a task needs, and
 * still nobody takes it. Every process looks, and says the same: the log keeps one of each.
 */
import { isCadreError } from "../../core/errors.ts";
import type { DirectoryEntry } from "../directory.ts";
import type { PresenceObserver } from "../presence.ts";
import type { BoardEntry, TaskBoard } from "../task-board.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";

const lookedAt = 32; // tasks of a capability in one look; the first ones are the next to be taken
const patienceLeases = 2; // longer than anybody waits for another agent to come first

export class IdleWatch {
  readonly #context: TeamContext;
  readonly #board: TaskBoard;
  readonly #presence: PresenceObserver;
  /** Tasks of which it was said, at this version. */
  readonly #told = new Map<string, number>();
  #cancelTimer: () => void = () => {};

  constructor(context: TeamContext, board: TaskBoard, presence: PresenceObserver) {
    this.#context = context;
    this.#board = board;
    this.#presence = presence;
  }

  start(): void {
    const { clock, leaseMs } = this.#context;
    this.#cancelTimer = clock.after(leaseMs, () => {
      this.look();
      this.start();
    });
  }

  close(): void {
    this.#cancelTimer();
  }

  look(): void {
    for (const [id, version] of this.#told) {
      if (this.#board.get(id)?.version !== version) this.#told.delete(id);
    }
    for (const capability of this.#board.capabilities()) {
      // What a limit holds up is no agent's fault.
      if (!this.#board.hasClaimable(capability) || this.#isLimited(`capability:${capability}`)) {
        continue;
      }
      const entry = this.#longWaiting(capability);
      const idle = entry && this.#idle(capability);
      if (idle) this.#tell(entry, idle);
    }
  }

  #isLimited(name: string): boolean {
    return this.#context.limits.has(name);
  }

  #longWaiting(capability: string): BoardEntry | undefined {
    const { clock, leaseMs } = this.#context;
    const now = clock.now();
    let looked = 0;
    for (const entry of this.#board.claimable(capability)) {
      looked += 1;
      const since = Math.max(entry.last.timestamp, entry.state.notBefore ?? 0);
      const isKnown = this.#told.has(entry.state.id);
      if (!isKnown && now - since >= patienceLeases * leaseMs) return entry;
      if (looked === lookedAt) return undefined;
    }
    return undefined;
  }

  #idle(capability: string): DirectoryEntry | undefined {
    const free = this.#presence.find({ capability, free: true, presence: "online" });
    return free.find(
      ({ card }) =>
        !(card.broken ?? []).includes(capability) && !this.#isLimited(`agent:${card.agent}`),
    );
  }

  #tell({ state, version, last }: BoardEntry, { card }: DirectoryEntry): void {
    const { bus, clock, logger, name } = this.#context;
    this.#told.set(state.id, version);
    const waitedMs = clock.now() - Math.max(last.timestamp, state.notBefore ?? 0);
    const { agent } = card;
    const note = `task ${state.id} has waited for ${waitedMs} ms beside ${agent}, which is free`;
    logger.warn("An agent is idle beside work.", { agent, note });
    const payload = { agent, status: "idle", taskId: state.id, note };
    // Several processes see it; a log keeps one.
    const id = `idle/${state.id}/${version}/${agent}`;
    const event = teamEvent(this.#context, name, "status.updated", payload, { id, cause: last });
    bus.publishEvent(event).catch((error: unknown) => {
      // Another process has said the same in its own words.
      if (isCadreError(error, "CLOSED") || isCadreError(error, "DUPLICATE_ID")) return;
      logger.warn("That an agent is idle beside work could not be told.", { agent, error });
    });
  }
}
