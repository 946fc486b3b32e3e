/**
 * Keeps asking the brokers for what its partitions have next.
 *
 * What is wanted is asked anew at each turn, so that a partition that holds enough is left out. One
 * that is wanted again while others wait for an answer is asked for beside them, at once. The last
 * request that may be on its way waits only shortly: those whose log is at its end must not hold up
 * one that has more. What finds nothing meanwhile is asked for together with it.
 */
import type { Cluster } from "./cluster.ts";
import { codes, isPassing } from "./kafka-error.ts";
import { fetchFrom, nameOf, offsetsAt, type Fetched, type Wanted } from "./log-access.ts";

export interface FetchParts {
  /** Names the connections: two loops must not wait for one another. */
  readonly purpose: string;
  wanted(): Iterable<Wanted>;
  /** Only what is still wanted as it was asked for. */
  take(fetched: Fetched): void;
  /** The log has moved: reading goes on at `offset`. */
  moved(wanted: Wanted, offset: number): void;
}

const waitMs = 2_000; // how long a broker keeps a request that finds nothing
const shortWaitMs = 50;
const maxBytes = 1_048_576;
const mostRequests = 4; // to one broker; the last of them is the short one
const pauseMs = 100;

export class FetchLoop {
  readonly #cluster: Cluster;
  readonly #parts: FetchParts;
  /** What is on its way, by the partition's name. */
  readonly #asked = new Map<string, Wanted>();
  /** By broker: none waits for the others. */
  readonly #slots = new Map<number, Set<number>>();
  #resting: (() => void) | undefined;
  #ended = false;

  constructor(cluster: Cluster, parts: FetchParts) {
    this.#cluster = cluster;
    this.#parts = parts;
  }

  /** Looks at what is wanted now. */
  wake(): void {
    if (this.#ended || this.#resting) return;
    const byLeader = new Map<number, Wanted[]>();
    const lost = new Set<string>();
    for (const wanted of this.#parts.wanted()) {
      if (this.#isAsked(wanted)) continue;
      const leader = this.#cluster.leaderOf(wanted.topic, wanted.partition);
      if (leader === undefined) lost.add(wanted.topic);
      else byLeader.set(leader, [...(byLeader.get(leader) ?? []), wanted]);
    }
    if (lost.size > 0) void this.#refresh([...lost]);
    for (const [node, list] of byLeader) {
      const slot = this.#freeSlot(node);
      if (slot !== undefined) void this.#fetch(node, list, slot); // else its next answer wakes
    }
  }

  /** What was asked from another offset, or waits for something to come, is no answer to this. */
  #isAsked(wanted: Wanted): boolean {
    const asked = this.#asked.get(nameOf(wanted));
    return asked?.offset === wanted.offset && (asked.isFirst === true || wanted.isFirst !== true);
  }

  #freeSlot(node: number): number | undefined {
    const taken = this.#slots.get(node);
    for (let slot = 1; slot <= mostRequests; slot += 1) if (!taken?.has(slot)) return slot;
    return undefined;
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#resting?.();
    await Promise.all(
      Array.from({ length: mostRequests }, (_, at) => this.#cluster.hangUp(this.#purpose(at + 1))),
    );
  }

  #purpose(slot: number): string {
    return `${this.#parts.purpose}-${slot}`;
  }

  async #fetch(node: number, list: readonly Wanted[], slot: number): Promise<void> {
    const slots = this.#slots.get(node) ?? new Set();
    this.#slots.set(node, slots.add(slot));
    for (const wanted of list) this.#asked.set(nameOf(wanted), wanted);
    const trouble = new Set<string>();
    let isEmpty = false;
    try {
      const isFirst = list.some((wanted) => wanted.isFirst);
      const longest = slot === mostRequests ? shortWaitMs : waitMs;
      const limits = { purpose: this.#purpose(slot), waitMs: isFirst ? 0 : longest, maxBytes };
      const fetched = await fetchFrom(this.#cluster, node, list, limits);
      if (this.#ended) return;
      isEmpty = fetched.every(({ records, errorCode }) => errorCode === 0 && records.length === 0);
      for (const item of fetched) {
        if (item.errorCode === 0) this.#parts.take(item);
        else if (item.errorCode === codes.offsetOutOfRange) await this.#move(item.wanted);
        else trouble.add(item.wanted.topic);
      }
    } catch (error) {
      if (this.#ended) return;
      if (!isPassing(error)) {
        const { logger } = this.#cluster.settings;
        logger.warn("Fetching from Kafka failed; it is tried again.", { error });
      }
      for (const { topic } of list) trouble.add(topic);
    } finally {
      slots.delete(slot);
      for (const wanted of list) {
        const name = nameOf(wanted);
        if (this.#asked.get(name) === wanted) this.#asked.delete(name);
      }
    }
    if (trouble.size > 0) await this.#refresh([...trouble]);
    else if (!isEmpty || !slots.has(mostRequests)) this.wake(); // else the short one's answer does
  }

  /** What was to be read next has been forgotten by the log, or is not there yet. */
  async #move(wanted: Wanted): Promise<void> {
    const name = nameOf(wanted);
    const start = (await offsetsAt(this.#cluster, [wanted], "start")).get(name)!;
    const end = (await offsetsAt(this.#cluster, [wanted], "end")).get(name)!;
    this.#parts.moved(wanted, wanted.offset < start ? start : Math.min(wanted.offset, end));
  }

  /** Asks who leads now, after a pause. */
  async #refresh(topics: readonly string[]): Promise<void> {
    if (this.#ended || this.#resting) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#cluster.settings.clock.after(pauseMs, resolve, { background: true });
      this.#resting = () => {
        cancel();
        resolve();
      };
    });
    await this.#cluster.refresh(topics).catch(() => {}); // the next turn tries again
    this.#resting = undefined;
    this.wake();
  }
}
