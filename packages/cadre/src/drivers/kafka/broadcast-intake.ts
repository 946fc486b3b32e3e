import { BroadcastLease } from "../../bus/broadcast-lease.ts";
import type { Intake, Lease } from "../../bus/transport.ts";
import { compilePattern } from "../../core/pattern.ts";
import { FetchLoop } from "./fetch-loop.ts";
import { nameOf, partitionsOf, type Fetched, type Wanted } from "./log-access.ts";
import type { Session } from "./session.ts";
import { Sleepers } from "./sleepers.ts";
import { planTopics, type TopicPlan } from "./topics.ts";
import { Tail, takeFirst } from "./tail.ts";
import { toRead, type Read } from "./wire.ts";

export interface BroadcastParts {
  readonly session: Session;
  readonly patterns: readonly string[];
  /** First offsets; a partition that is not here began empty. */
  readonly starts: ReadonlyMap<string, number>;
  readonly purpose: string;
  readonly onClose: (intake: BroadcastIntake) => void;
}

const mostWaiting = 1_000; // of a partition; then no more is asked for until some are pulled

/**
 * A broadcast: the log's tail from fixed offsets, without a group and without commits. The log is
 * the queue, so a slow reader misses nothing but what the log itself has dropped.
 */
export class BroadcastIntake implements Intake {
  readonly #parts: BroadcastParts;
  readonly #plan: TopicPlan;
  readonly #matchers: readonly ((type: string) => boolean)[];
  readonly #tails = new Map<string, Tail>();
  readonly #loop: FetchLoop;
  readonly #endListening: () => void;
  readonly #sleepers = new Sleepers();
  #closing: Promise<void> | undefined;

  constructor(parts: BroadcastParts) {
    const { session, patterns, purpose } = parts;
    this.#parts = parts;
    this.#plan = planTopics(session.settings, patterns);
    this.#matchers = patterns.map((pattern) => compilePattern(pattern));
    this.#loop = new FetchLoop(session.cluster, {
      purpose,
      wanted: () => this.#wanted(),
      take: (fetched) => this.#take(fetched),
      moved: (wanted, offset) => this.#tails.get(nameOf(wanted))?.moved(offset),
    });
    this.#endListening = session.cluster.onTopics(() => this.#loop.wake());
    this.#loop.wake();
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    while (!this.#closing && !signal.aborted && max >= 1) {
      const reads = takeFirst(this.#tails, max, (place) =>
        this.#parts.session.cluster.isLed(place),
      );
      if (reads.length > 0) {
        this.#loop.wake();
        return reads.map(({ recorded }) => new BroadcastLease(recorded));
      }
      await this.#sleepers.next(signal);
    }
    return [];
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody wakes
    this.#endListening();
    this.#parts.onClose(this);
    this.#sleepers.wake();
    await this.#loop.end();
  }

  *#wanted(): Generator<Wanted, void, undefined> {
    const { session, starts } = this.#parts;
    const { cluster } = session;
    const topics = cluster.topics.filter((topic) => this.#plan.takes(topic));
    for (const partition of partitionsOf(cluster, topics)) {
      const name = nameOf(partition);
      let tail = this.#tails.get(name);
      if (!tail) {
        tail = new Tail(partition, starts.get(name) ?? 0);
        this.#tails.set(name, tail);
      }
      if (tail.waiting.length < mostWaiting) yield tail.wanted;
    }
  }

  #take(fetched: Fetched): void {
    const { format } = this.#parts.session.settings;
    const reads = fetched.records
      .map((record) => toRead(record, format))
      .filter((read) => this.#isOurs(read));
    this.#tails.get(nameOf(fetched.wanted))?.take(fetched, reads);
    this.#sleepers.wake();
  }

  #isOurs({ recorded: { event } }: Read): boolean {
    return !event || this.#matchers.some((matches) => matches(event.type));
  }
}
