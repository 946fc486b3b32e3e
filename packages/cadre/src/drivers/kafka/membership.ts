/**
 * One member of a consumer group, towards the broker that keeps the group.
 *
 *   away ─▶ joining ─▶ joined(generation) ──heartbeats──▶ joined
 *              ▲            ├── others come or go, or `again()` ──▶ joining
 *              │            └── not known any more ──▶ all is lost ──▶ joining as somebody new
 *              └──────────────── end() ──▶ left
 *
 * Heartbeats have a timer of their own: no handler, and no waiting fetch, can make a member late.
 */
import { CadreError } from "../../core/errors.ts";
import type { KafkaConnectionLike } from "./client.ts";
import type { Session } from "./session.ts";
import {
  decodeShare,
  decodeWish,
  encodeShare,
  encodeWish,
  shareOut,
  type MemberShare,
  type MemberWish,
} from "./group-protocol.ts";
import { codeOf, codes, isPassing, KafkaRefusal } from "./kafka-error.ts";
import type { Partition } from "./log-access.ts";

export interface MembershipParts {
  readonly session: Session;
  /** The consumer group's name on the cluster. */
  readonly groupId: string;
  /** What this member says when it joins. */
  wish(): Omit<MemberWish, "round">;
  /** All partitions of the group, asked of the leader. */
  partitions(): Promise<readonly Partition[]>;
  onShare(share: MemberShare): Promise<void>;
  /** The group goes on without this member: nothing it holds is its own any more. */
  onLost(): void;
  /** Told before each join: whether the group is still there. */
  isWanted(): Promise<boolean>;
  /** The group was deleted. */
  onGone(): void;
}

interface Identity {
  readonly memberId: string;
  readonly generation: number;
}

const protocolName = "cadre";
const protocolType = "consumer"; // what tools look for
const firstPauseMs = 20;
const mostPauseMs = 1_000;

export class Membership {
  readonly #parts: MembershipParts;
  readonly #listeners = new Set<() => void>();
  #memberId = "";
  #generation = -1;
  #joined = false;
  #wasJoined = false;
  #round = 0;
  #askedAgain = false;
  #wakeUp: (() => void) | undefined;
  #heardAt = 0;
  #running: Promise<void> | undefined;
  #ended = false;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /** With what a commit is signed. */
  get identity(): Identity {
    return { memberId: this.#memberId, generation: this.#generation };
  }

  get joined(): boolean {
    return this.#joined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Begins, if it hasn't. */
  start(): void {
    if (!this.#ended) this.#running ??= this.#run();
  }

  /** Joins again, to say something new. */
  again(): void {
    this.#askedAgain = true;
    this.#wakeUp?.();
  }

  /** Resolves at the next change: joined, joining again, or ended. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      const listener = (): void => {
        this.#listeners.delete(listener);
        resolve();
      };
      this.#listeners.add(listener);
    });
  }

  /** A commit was refused as this member's: the broker does not know it. */
  refused({ memberId, generation }: Identity): void {
    if (this.#memberId !== memberId || this.#generation !== generation || !this.#joined) return;
    this.#lose();
    this.again();
  }

  /** Leaves the group. */
  async end(): Promise<void> {
    if (this.#ended) return this.#running;
    this.#ended = true;
    this.#wakeUp?.();
    this.#tell();
    const { session, groupId } = this.#parts;
    const [memberId] = [this.#memberId];
    if (memberId !== "") {
      const leaving = this.#ask("leave the group", "orders", 2_000, (connection) =>
        session.cluster.protocol.leaveGroup(connection, groupId, [{ memberId }]),
      );
      await leaving.catch(() => {}); // then it is taken for dead after a while
    }
    await session.cluster.hangUp(this.#purpose);
    await this.#running;
  }

  get #purpose(): string {
    return `member ${this.#parts.groupId}`;
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts.session.settings;
    let pauseMs = firstPauseMs;
    while (!this.#ended) {
      try {
        if (!(await this.#parts.isWanted())) {
          this.#lose();
          this.#parts.onGone();
          return;
        }
        await this.#join();
        pauseMs = firstPauseMs;
        await this.#stay();
      } catch (error) {
        if (this.#ended) return;
        this.#onTrouble(error);
        await clock.sleep(pauseMs);
        pauseMs = Math.min(mostPauseMs, pauseMs * 2);
      }
    }
  }

  #onTrouble(error: unknown): void {
    const { session, groupId } = this.#parts;
    const code = codeOf(error);
    if (code === codes.memberIdRequired) return;
    session.cluster.forgetCoordinator(groupId);
    const { settings } = session;
    const unheardMs = settings.clock.monotonic() - this.#heardAt;
    const isForgotten = code === codes.unknownMember || code === codes.illegalGeneration;
    if (isForgotten) this.#memberId = code === codes.unknownMember ? "" : this.#memberId;
    if (isForgotten || unheardMs > settings.sessionTimeoutMs) this.#lose();
    if (!isPassing(error) && !isForgotten && code !== codes.rebalancing) {
      settings.logger.warn("A member could not join its group; it tries again.", {
        groupId,
        error,
      });
    }
  }

  #lose(): void {
    this.#joined = false;
    if (this.#wasJoined) this.#parts.onLost();
    this.#wasJoined = false;
    this.#tell();
  }

  async #join(): Promise<void> {
    const { session, groupId } = this.#parts;
    const { sessionTimeoutMs } = session.settings;
    this.#joined = false;
    this.#askedAgain = false;
    this.#round += 1;
    this.#tell();
    const metadata = encodeWish({ ...this.#parts.wish(), round: this.#round });
    const answer = await this.#ask("join the group", this.#purpose, sessionTimeoutMs * 2, (to) =>
      session.cluster.protocol.joinGroup(
        to,
        groupId,
        sessionTimeoutMs,
        sessionTimeoutMs,
        this.#memberId,
        null,
        protocolType,
        [{ name: protocolName, metadata }],
      ),
    );
    const { errorCode, generationId, memberId, leader, members } = answer;
    if (errorCode === codes.memberIdRequired) {
      this.#memberId = memberId;
      return this.#join();
    }
    if (errorCode !== 0) throw new KafkaRefusal(errorCode, `join group ${groupId}`);
    if (this.#ended) return;
    this.#memberId = memberId;
    const shares = leader === memberId ? await this.#shareOut(members) : [];
    const synced = await this.#ask("join the group", this.#purpose, sessionTimeoutMs * 2, (to) =>
      session.cluster.protocol.syncGroup(
        to,
        groupId,
        generationId,
        memberId,
        null,
        protocolType,
        protocolName,
        shares,
      ),
    );
    if (synced.errorCode !== 0) throw new KafkaRefusal(synced.errorCode, `join group ${groupId}`);
    if (this.#ended) return;
    this.#generation = generationId;
    this.#heardAt = session.settings.clock.monotonic();
    this.#wasJoined = true;
    await this.#parts.onShare(decodeShare(synced.assignment));
    this.#joined = true;
    this.#tell();
  }

  async #shareOut(
    members: readonly { readonly memberId: string; readonly metadata?: Buffer | null }[],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const wishes = new Map(
      members.map(({ memberId, metadata }) => [memberId, decodeWish(metadata!)]),
    );
    const shares = shareOut(wishes, await this.#parts.partitions());
    return [...shares].map(([memberId, share]) => ({ memberId, assignment: encodeShare(share) }));
  }

  /** Until there is a reason to join again. */
  async #stay(): Promise<void> {
    const { session, groupId } = this.#parts;
    const { heartbeatMs, sessionTimeoutMs } = session.settings;
    while (!this.#ended && !this.#askedAgain) {
      await this.#rest(heartbeatMs);
      if (this.#ended || this.#askedAgain) return;
      const { memberId, generation } = this.identity;
      const timeoutMs = Math.max(1_000, sessionTimeoutMs / 3);
      const answer = await this.#ask("a heartbeat", this.#purpose, timeoutMs, (connection) =>
        session.cluster.protocol.heartbeat(connection, groupId, generation, memberId, null),
      );
      if (answer.errorCode === codes.rebalancing) {
        this.#heardAt = session.settings.clock.monotonic();
        return;
      }
      if (answer.errorCode !== 0) throw new KafkaRefusal(answer.errorCode, "a heartbeat");
      this.#heardAt = session.settings.clock.monotonic();
    }
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#wakeUp = undefined;
        resolve();
      };
      const cancel = this.#parts.session.settings.clock.after(ms, end, { background: true });
      this.#wakeUp = end;
    });
  }

  async #ask<Answer>(
    what: string,
    purpose: string,
    timeoutMs: number,
    send: (connection: KafkaConnectionLike) => Promise<Answer>,
  ): Promise<Answer> {
    const { session, groupId } = this.#parts;
    if (session.cluster.ended) {
      throw new CadreError("CLOSED", "The connection is closed.", { what: "kafka" });
    }
    const node = await session.cluster.coordinatorOf(groupId);
    return session.cluster.ask({ node, purpose, timeoutMs }, what, send);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
