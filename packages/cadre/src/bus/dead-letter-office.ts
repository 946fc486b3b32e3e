/**
 * Dead letters: listed, inspected, redriven, purged.
 *
 *   dead letter ──redrive──▶ its event goes to the group alone, as attempt 1; the letter is gone
 *               ──edited───▶ a new event, caused by the old one, goes to the group instead
 *               ──purge────▶ the letter is gone; an event that it parked is discarded, and its
 *                            key goes on
 *
 * A carrier forgets a parked event only when it hands it out again. To discard one, the bus has it
 * handed out with an attempt number that no retry reaches; the pipeline acks such a delivery
 * without a handler.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Logger } from "../core/logger.ts";
import { MemoryDeadLetters } from "./memory-dead-letters.ts";
import type { Publisher } from "./publisher.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery, Lease, Transport } from "./transport.ts";

/**
 * The attempt of a delivery that is only to be acked. Beyond what any policy allows, also after a
 * few lost leases.
 */
export const discardAttempt = 1_000_000_000;

const maxLetters = 10_000; // in memory, where the transport has no place for them

export class DeadLetterOffice {
  readonly #box: DeadLetterBox;
  readonly #publisher: Publisher;
  readonly #clock: Clock;
  /** For each redrive that runs, the letters that were put meanwhile. */
  readonly #redriving = new Set<Set<string>>();
  readonly #sees: (event: AgentEvent | undefined) => boolean;
  readonly #verify: (event: AgentEvent, takenAt: number) => void;

  /**
   * @param sees whether whoever asks here may see an event, or bytes that hold none
   * @param verify throws for an event that would not be let in
   */
  constructor(
    transport: Transport,
    publisher: Publisher,
    clock: Clock,
    logger: Logger,
    sees: (event: AgentEvent | undefined) => boolean = () => true,
    verify: (event: AgentEvent, takenAt: number) => void = () => {},
  ) {
    this.#sees = sees;
    this.#verify = verify;
    this.#clock = clock;
    this.#box = transport.deadLetters ?? new MemoryDeadLetters(maxLetters, logger);
    this.#publisher = publisher;
  }

  put(letter: DeadLetter): Promise<void> {
    for (const failed of this.#redriving) failed.add(letter.id);
    return this.#box.put(letter);
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    const letter = await this.#box.get(id);
    return letter && this.#mayShow(letter) ? letter : undefined;
  }

  async *list(query: DeadLetterQuery = {}): AsyncIterable<DeadLetter> {
    const { limit = Infinity, ...conditions } = query;
    let left = limit;
    if (left <= 0) return;
    for await (const letter of this.#box.list(conditions)) {
      if (!this.#mayShow(letter)) continue;
      yield letter;
      left -= 1;
      if (left <= 0) return;
    }
  }

  #mayShow({ event }: DeadLetter): boolean {
    return this.#sees(event);
  }

  async redrive(id: string, options: { readonly payload?: unknown } = {}): Promise<boolean> {
    const failsAgain = new Set<string>();
    this.#redriving.add(failsAgain);
    try {
      return await this.#redrive(id, options, failsAgain);
    } finally {
      this.#redriving.delete(failsAgain);
    }
  }

  async #redrive(
    id: string,
    options: { readonly payload?: unknown },
    failsAgain: ReadonlySet<string>,
  ): Promise<boolean> {
    const letter = await this.get(id);
    if (!letter) return false;
    const event = letter.event;
    if (!event) {
      throw new CadreError(
        "WRONG_STATE",
        `Dead letter "${id}" holds bytes that are no event. It can be inspected or ` +
          `purged, not redriven.`,
        { what: `dead letter ${id}`, state: letter.reason },
      );
    }
    const { expiresAt } = event.metadata;
    // An event whose time has passed would only expire again; the new one has no limit.
    const isExpired = expiresAt !== undefined && expiresAt <= this.#clock.now();
    const { payload } = options;
    if (payload === undefined && !isExpired) await this.#handOver(letter.group, event, 1);
    else {
      // Under another id it is looked at no more: without an edit only what is good may go on.
      if (payload === undefined) this.#verify(event, letter.firstFailedAt);
      await this.#redriveEdited(letter, event, payload ?? event.payload);
    }
    // Removed last: a crash in between leaves the letter, and redriving it again doubles nothing.
    // An event that failed again meanwhile has its new letter in the place of this one.
    const now = await this.#box.get(id);
    if (!failsAgain.has(id) && now?.lastFailedAt === letter.lastFailedAt) {
      await this.#box.remove(id);
    }
    return true;
  }

  async purge(id: string): Promise<boolean> {
    const letter = await this.get(id);
    if (!letter) return false;
    if (letter.parksKey !== undefined && letter.event)
      await this.#discard(letter.group, letter.event);
    return this.#box.remove(id);
  }

  /** An event never changes: another payload makes another event. */
  async #redriveEdited(letter: DeadLetter, event: AgentEvent, payload: unknown): Promise<void> {
    const { target, key, priority, replyTo, extensions } = event.metadata;
    const edited = this.#publisher.create(event.type, payload, {
      ...(this.#isGenuine(letter, event) ? { source: this.#publisher.sourceOf(event) } : {}),
      cause: event,
      replayOf: event.id,
      ...(target === undefined ? {} : { target }),
      ...(key === undefined ? {} : { key }),
      ...(priority === undefined ? {} : { priority }),
      ...(replyTo === undefined ? {} : { replyTo }),
      ...(extensions === undefined ? {} : { extensions }),
    });
    await this.#handOver(letter.group, edited, 1);
    if (letter.parksKey !== undefined) await this.#discard(letter.group, event);
  }

  /** In the name that a forgery bears, nothing is said. */
  #isGenuine({ firstFailedAt }: DeadLetter, event: AgentEvent): boolean {
    try {
      this.#verify(event, firstFailedAt);
      return true;
    } catch (error) {
      if (isCadreError(error, "SIGNATURE_REJECTED") || isCadreError(error, "FORBIDDEN")) {
        return false;
      }
      throw error;
    }
  }

  #discard(group: string, event: AgentEvent): Promise<void> {
    return this.#handOver(group, event, discardAttempt);
  }

  async #handOver(group: string, event: AgentEvent, attempt: number): Promise<void> {
    await this.#publisher.sendRaw({ event, to: { group, attempt } });
  }
}

export interface Burial {
  readonly group: string;
  readonly lease: Lease;
  readonly reason: DeadLetter["reason"];
  readonly error: unknown;
  /** The key that waits behind the letter. */
  readonly key: string | undefined;
  readonly now: number;
  /** Unix milliseconds of the first failure, where it is known. */
  readonly since: number | undefined;
  /** Whether the event is what it says it is. */
  readonly isVerified: boolean;
}

export function deadLetterOf(burial: Burial): DeadLetter {
  const { group, lease, reason, error, key, now, since, isVerified } = burial;
  const { event, undecodable, position } = lease.recorded;
  return {
    // Under a name of its own: a forgery must not take the place of the event whose id it bears.
    id: `${group}/${event?.id ?? position}${event && !isVerified ? `/${position}` : ""}`,
    group,
    ...(event === undefined ? {} : { event }),
    ...(undecodable === undefined
      ? {}
      : { bytes: Buffer.from(undecodable.bytes).toString("base64") }),
    reason,
    error: describeError(error),
    attempts: lease.attempt,
    position,
    firstFailedAt: since ?? now,
    lastFailedAt: now,
    ...(key === undefined ? {} : { parksKey: key }),
  };
}
