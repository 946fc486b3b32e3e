/**
 * Commits what lanes have settled, all in one request, one request at a time.
 *
 * The broker takes a commit only from a member of the group's present generation. That is the
 * fence: who was frozen, or lost the partition, is refused here, whatever it believes.
 */
import { codes, isPassing, KafkaRefusal } from "./kafka-error.ts";
import type { Lane } from "./lane.ts";
import type { Membership } from "./membership.ts";
import type { Session } from "./session.ts";

export interface CommitParts {
  readonly session: Session;
  readonly groupId: string;
  readonly membership: Membership;
  lanes(): Iterable<Lane>;
}

interface Waiter {
  readonly lane: Lane;
  readonly version: number;
  resolve(answer: "ok" | "lost"): void;
  reject(error: unknown): void;
}

interface Snapshot {
  readonly lane: Lane;
  readonly version: number;
  readonly base: number;
  readonly marks: string;
}

const pauseMs = 30;
const soonMs = 40; // what is handled sooner needs no commit to say that it was handed out

export class CommitDesk {
  readonly #parts: CommitParts;
  #waiters: Waiter[] = [];
  #running = false;
  /** Somebody has asked for a commit, and none has begun since. */
  #isUrgent = false;
  #cancelSoon: (() => void) | undefined;

  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  /** Commits in a moment, with what else there will be. */
  wakeSoon(): void {
    if (this.#running || this.#cancelSoon) return;
    const { clock } = this.#parts.session.settings;
    this.#cancelSoon = clock.after(soonMs, () => this.wake(), { background: true });
  }

  /** Commits now. */
  wake(): void {
    this.#cancelSoon?.();
    this.#cancelSoon = undefined;
    this.#isUrgent = true;
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  /** Whether what the lane is now is committed, or the lane is lost. */
  kept(lane: Lane): Promise<"ok" | "lost"> {
    const { version } = lane;
    if (lane.isEnded) return Promise.resolve("lost");
    return new Promise((resolve, reject) => {
      this.#waiters.push({ lane, version, resolve, reject });
      this.wake();
    });
  }

  /** Tells those whose lane was lost. */
  tell(): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      const { lane, version } = waiter;
      if (lane.isKept(version)) waiter.resolve("ok");
      else if (lane.isEnded) waiter.resolve("lost");
      else return true;
      return false;
    });
  }

  async #run(): Promise<void> {
    const { clock, requestTimeoutMs } = this.#parts.session.settings;
    let end = clock.monotonic() + requestTimeoutMs;
    let isRefused = false;
    while (this.#isUrgent || this.#waiters.length > 0) {
      await Promise.resolve(); // what is settled in this turn goes together
      this.#isUrgent = false;
      const dirty = [...this.#parts.lanes()].filter((lane) => lane.isDirty && !lane.isEnded);
      if (dirty.length === 0) break;
      try {
        await this.#commit(dirty);
        end = clock.monotonic() + requestTimeoutMs;
      } catch (error) {
        if (clock.monotonic() > end || !isPassing(error)) {
          this.#refuse(error);
          isRefused = true;
          break;
        }
        await clock.sleep(pauseMs);
      }
      this.tell();
    }
    this.#running = false;
    this.tell();
    if (!isRefused && this.#hasDirty()) this.wakeSoon(); // handed out meanwhile: that can wait
  }

  #hasDirty(): boolean {
    for (const lane of this.#parts.lanes()) if (lane.isDirty && !lane.isEnded) return true;
    return false;
  }

  async #commit(lanes: readonly Lane[]): Promise<void> {
    const { session, groupId, membership } = this.#parts;
    const { identity } = membership;
    const snapshots = lanes.map((lane): Snapshot => {
      return { lane, version: lane.version, base: lane.base, marks: lane.marks };
    });
    const node = await session.cluster.coordinatorOf(groupId);
    let answer;
    try {
      answer = await session.cluster.ask({ node, purpose: "commits" }, "a commit", (connection) =>
        session.cluster.protocol.offsetCommit(
          connection,
          groupId,
          identity.generation,
          identity.memberId,
          null,
          byTopic(snapshots),
        ),
      );
    } catch (error) {
      session.cluster.forgetCoordinator(groupId);
      throw error;
    }
    const answered = new Map<string, number>();
    for (const { name, partitions } of answer.topics) {
      for (const { partitionIndex, errorCode } of partitions) {
        answered.set(`${name}/${partitionIndex}`, errorCode);
      }
    }
    let refused = 0;
    for (const { lane, version } of snapshots) {
      const code = answered.get(`${lane.topic}/${lane.partition}`) ?? -1;
      if (code === 0) lane.kept(version);
      else refused = code;
    }
    if (refused !== 0) await this.#refused(refused, identity);
  }

  async #refused(
    code: number,
    identity: { readonly memberId: string; readonly generation: number },
  ): Promise<void> {
    const { session, groupId, membership } = this.#parts;
    const isFenced = code === codes.unknownMember || code === codes.illegalGeneration;
    if (!isFenced && code !== codes.rebalancing) {
      session.cluster.forgetCoordinator(groupId);
      throw new KafkaRefusal(code, "a commit");
    }
    if (membership.ended) return;
    // Joining again: the lanes that stay are committed afterwards, under the new generation.
    if (!membership.joined) await Promise.race([membership.changed(), this.#pause()]);
    else if (isFenced) membership.refused(identity);
    else await this.#pause();
  }

  #pause(): Promise<void> {
    return this.#parts.session.settings.clock.sleep(pauseMs);
  }

  #refuse(error: unknown): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }
}

function byTopic(snapshots: readonly Snapshot[]): {
  name: string;
  partitions: {
    partitionIndex: number;
    committedOffset: bigint;
    committedLeaderEpoch: number;
    committedMetadata: string;
  }[];
}[] {
  return [...Map.groupBy(snapshots, ({ lane }) => lane.topic)].map(([name, list]) => ({
    name,
    partitions: list.map(({ lane, base, marks }) => ({
      partitionIndex: lane.partition,
      committedOffset: BigInt(base),
      committedLeaderEpoch: -1,
      committedMetadata: marks,
    })),
  }));
}
