/**
 * All that one transport has of a group: one member on the cluster, its partitions, what is out.
 *
 *   pulls ─▶ member joins ─▶ partitions ─▶ lanes ◀─ fetch loop
 *                                            └─▶ first ready ─▶ lease ─▶ settled ─▶ commit
 *
 * A member that is not pulled for a while keeps only what it has out, as long as others pull. A
 * partition of which something is out stays, so that a handler may take as long as it likes; when
 * others have too few, nothing new goes out of it until it is free to go.
 */
import type { ConsumeSpec, Lease } from "../../bus/transport.ts";
import { compilePattern } from "../../core/pattern.ts";
import { CommitDesk } from "./commit-desk.ts";
import { directedPartition, sendCopy } from "./copies.ts";
import { FetchLoop } from "./fetch-loop.ts";
import { committedOffsets } from "./group-offsets.ts";
import type { MemberShare } from "./group-protocol.ts";
import type { GroupRecord } from "./group-records.ts";
import { KafkaLease, type LeaseParts } from "./kafka-lease.ts";
import { LeaseWatch } from "./lease-watch.ts";
import { firstReady, Lane, type Entry } from "./lane.ts";
import { nameOf, partitionsOf, type Fetched, type Partition, type Wanted } from "./log-access.ts";
import { Membership } from "./membership.ts";
import type { Session } from "./session.ts";
import { Sleepers } from "./sleepers.ts";
import { SeenTopics } from "./seen-topics.ts";
import { knownTopics } from "./start-offsets.ts";
import { planTopics, type TopicPlan } from "./topics.ts";
import { headerOf, type Read } from "./wire.ts";

export interface HubParts {
  readonly session: Session;
  readonly groupId: string;
  readonly record: GroupRecord;
  readonly spec: ConsumeSpec;
  /** The group was deleted, or the hub has nothing more to do. */
  readonly onEnd: (hub: GroupHub, wasDeleted: boolean) => void;
}

const moveAgainMs = 1_000;

export class GroupHub {
  readonly record: GroupRecord;
  readonly #parts: HubParts;
  readonly #plan: TopicPlan;
  readonly #matchers: readonly ((type: string) => boolean)[];
  readonly #membership: Membership;
  readonly #desk: CommitDesk;
  readonly #loop: FetchLoop;
  readonly #leaseParts: LeaseParts;
  readonly #lanes = new Map<string, Lane>();
  readonly #leases = new Set<KafkaLease>();
  readonly #watch: LeaseWatch;
  readonly #sleepers = new Sleepers();
  readonly #seen: SeenTopics;
  readonly #endListening: () => void;
  /** Lanes that had enough when it was looked what to ask for. */
  readonly #passedOver = new Set<Lane>();
  /** Where copies for this group lie. */
  readonly #copies: Partition;
  readonly #copiesName: string;
  /** Open intakes. */
  members = 0;
  #pulls = 0;
  #pulledAt = -Infinity;
  #saidWants = false;
  #others = 0;
  /** Lookings for topics to share out. */
  #sharing = 0;
  #cancelIdle: (() => void) | undefined;
  #isEnded = false;
  #ending: Promise<void> | undefined;

  constructor(parts: HubParts) {
    const { session, groupId, record, spec } = parts;
    this.#parts = parts;
    this.record = record;
    this.#plan = planTopics(session.settings, record.patterns);
    this.#copies = directedPartition(session, record);
    this.#copiesName = nameOf(this.#copies);
    this.#watch = new LeaseWatch(session.settings.clock, this.#leases);
    this.#seen = new SeenTopics(session.cluster, this.#plan);
    this.#matchers = spec.patterns.map((pattern) => compilePattern(pattern));
    this.#membership = new Membership({
      session,
      groupId,
      wish: () => this.#wish(),
      partitions: () => this.#partitions(),
      onShare: (share) => this.#onShare(share),
      onLost: () => this.#dropLanes([...this.#lanes.values()]),
      isWanted: async () =>
        (await session.groups.find(record.name))?.incarnation === record.incarnation,
      onGone: () => void this.end(true),
    });
    const lanes = (): Iterable<Lane> => this.#lanes.values();
    this.#desk = new CommitDesk({ session, groupId, membership: this.#membership, lanes });
    this.#loop = new FetchLoop(session.cluster, {
      purpose: `group ${groupId}`,
      wanted: () => this.#wanted(),
      take: (fetched) => this.#take(fetched),
      moved: (wanted, offset) => this.#lanes.get(nameOf(wanted))?.moved(offset),
    });
    this.#leaseParts = {
      session,
      desk: this.#desk,
      watch: this.#watch,
      isOrdered: spec.ordered !== undefined,
      copy: (entry, attempt, delayMs) =>
        sendCopy(session, record, entry.read, { attempt, delayMs }),
      onEnd: (lease) => this.#onEnd(lease),
    };
    this.#endListening = session.cluster.onTopics(() => {
      // A leader that is just sharing out counts them in; else also a join that is on its way is
      // too late for them.
      if (this.#seen.haveChanged() && this.#sharing === 0) this.#membership.again();
    });
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Deliveries; none when nothing came until a signal is aborted or the hub ended. */
  async pull(
    max: number,
    leaseMs: number,
    ...signals: readonly AbortSignal[]
  ): Promise<readonly Lease[]> {
    const isAborted = (): boolean => signals.some(({ aborted }) => aborted);
    this.#beginPull();
    try {
      while (!this.#isEnded && !isAborted()) {
        const leases = this.#handOut(max, leaseMs);
        if (leases.length === 0) await this.#sleepers.next(...signals);
        else {
          const counted = await this.#counted(leases);
          if (counted.length > 0 && !isAborted()) return counted;
          // One that can't be told runs out.
          for (const lease of counted) lease.settle({ kind: "release" }).catch(() => {});
        }
      }
      return [];
    } finally {
      this.#endPull();
    }
  }

  /** An intake has closed: the last one ends the hub, when what is out is settled. */
  left(): void {
    this.members -= 1;
    this.#endIfDone();
  }

  /** Gives everything up at once. */
  end(wasDeleted: boolean = false): Promise<void> {
    this.#ending ??= this.#end(wasDeleted);
    return this.#ending;
  }

  async #end(wasDeleted: boolean): Promise<void> {
    this.#isEnded = true;
    await Promise.resolve(); // `#ending` is set before anybody is told
    this.#endListening();
    this.#cancelIdle?.();
    this.#watch.end();
    this.#dropLanes([...this.#lanes.values()]);
    this.#parts.onEnd(this, wasDeleted);
    this.#sleepers.wake();
    await Promise.all([this.#loop.end(), this.#membership.end()]);
  }

  #endIfDone(): void {
    if (this.members <= 0 && this.#leases.size === 0) void this.end();
  }

  #beginPull(): void {
    this.#pulls += 1;
    this.#cancelIdle?.();
    this.#membership.start();
    if (!this.#saidWants && this.#membership.joined) this.#membership.again();
  }

  #endPull(): void {
    this.#pulls -= 1;
    const { clock, idleMs } = this.#parts.session.settings;
    this.#pulledAt = clock.monotonic();
    if (this.#pulls > 0 || this.#isEnded) return;
    this.#cancelIdle?.();
    this.#cancelIdle = clock.after(idleMs, () => this.#onIdle(), { background: true });
  }

  /** Others may have what waits here. */
  #onIdle(): void {
    if (this.#isEnded || this.#others === 0 || !this.#saidWants) return;
    this.#membership.again();
  }

  #handOut(max: number, leaseMs: number): KafkaLease[] {
    const { settings, cluster } = this.#parts.session;
    const leases: KafkaLease[] = [];
    const until = this.#watch.now() + leaseMs;
    while (leases.length < max && this.#leases.size < settings.workers) {
      const entry = firstReady(this.#lanes.values(), cluster);
      if (!entry) break;
      entry.lane.handOut(entry);
      this.#dropSuperfluous(entry);
      const lease = new KafkaLease(this.#leaseParts, entry, until);
      this.#leases.add(lease);
      leases.push(lease);
    }
    if (leases.length > 0) this.#desk.wakeSoon(); // that they were handed out is kept too
    this.#askForMore();
    return leases;
  }

  /**
   * Until something of a partition was handled here, the cluster is told first what is handed out:
   * an event that kills its handler at once would not be counted otherwise, by one owner after the
   * other.
   */
  async #counted(leases: KafkaLease[]): Promise<KafkaLease[]> {
    if (leases.every(({ entry }) => entry.lane.isProven)) return leases;
    const unproven = new Set(
      leases.map(({ entry }) => entry.lane).filter((lane) => !lane.isProven),
    );
    // Not being able to count is no reason to stand still.
    await Promise.all([...unproven].map((lane) => this.#desk.kept(lane).catch(() => "ok")));
    return leases.filter(({ entry }) => !entry.lane.isEnded);
  }

  /** An event that waited here needed no copy. */
  #dropSuperfluous({ read }: Entry): void {
    const id = read.recorded.event?.id;
    const copies = this.#lanes.get(this.#copiesName);
    for (const entry of copies?.redriven(id) ?? []) entry.lane.settle(entry);
  }

  #onEnd(lease: KafkaLease): void {
    if (!this.#leases.delete(lease)) return;
    const { lane } = lease.entry;
    lane.held -= 1;
    if (lane.held === 0 && !lane.isEnded && (lane.isStill || this.#isIdle)) {
      if (this.#others > 0) this.#membership.again();
    }
    this.#sleepers.wake(); // there is room, or it waits again
    this.#askForMore();
    this.#endIfDone();
  }

  get #isIdle(): boolean {
    const { clock, idleMs } = this.#parts.session.settings;
    return this.#pulls === 0 && clock.monotonic() - this.#pulledAt >= idleMs;
  }

  #wish(): ReturnType<ConstructorParameters<typeof Membership>[0]["wish"]> {
    const { cluster } = this.#parts.session;
    this.#saidWants = this.members > 0 && !this.#isIdle;
    const held: string[] = [];
    // What was offered without an answer may have been another's meanwhile.
    this.#dropLanes([...this.#lanes.values()].filter((lane) => lane.isOffered && lane.held === 0));
    for (const [name, lane] of this.#lanes) {
      if (lane.held > 0) held.push(name);
      else {
        lane.isStill = true; // it may go to another
        lane.isOffered = true;
      }
    }
    const topics = cluster.topics.filter((topic) => this.#plan.takes(topic));
    return {
      topics: [...topics, this.#copies.topic],
      wants: this.#saidWants,
      held,
      owned: [...this.#lanes.keys()],
    };
  }

  async #partitions(): Promise<readonly Partition[]> {
    const { session } = this.#parts;
    this.#sharing += 1;
    const topics = await knownTopics(session, this.#plan).finally(() => (this.#sharing -= 1));
    return [...partitionsOf(session.cluster, topics), this.#copies];
  }

  async #onShare({ partitions, finish, members }: MemberShare): Promise<void> {
    const { session, groupId } = this.#parts;
    this.#others = members - 1;
    const names = new Set(partitions.map((partition) => nameOf(partition)));
    this.#dropLanes([...this.#lanes].filter(([name]) => !names.has(name)).map(([, lane]) => lane));
    const fresh = partitions.filter((partition) => !this.#lanes.has(nameOf(partition)));
    const topics = new Set(fresh.map(({ topic }) => topic));
    const unknown = [...topics].filter((topic) => session.cluster.partitionsOf(topic) === 0);
    if (unknown.length > 0) await session.cluster.refresh(unknown);
    const committed = await committedOffsets(session, groupId, fresh);
    if (this.#isEnded) return;
    for (const partition of fresh) {
      const name = nameOf(partition);
      const { offset, marks } = committed.get(name) ?? {
        offset: this.record.starts[name] ?? 0,
        marks: null,
      };
      this.#lanes.set(name, this.#makeLane(partition, offset, marks));
    }
    for (const [name, lane] of this.#lanes) {
      lane.isStill = finish.includes(name);
      lane.isOffered = false;
    }
    // Settled since the wish was said.
    const isFree = finish.some((name) => this.#lanes.get(name)?.held === 0);
    if (isFree || (this.#pulls > 0 && !this.#saidWants)) this.#membership.again();
    this.#loop.wake();
    this.#sleepers.wake();
  }

  #makeLane(partition: Partition, base: number, marks: string | null | undefined): Lane {
    const { session, spec } = this.#parts;
    const { clock, format } = session.settings;
    return new Lane({
      ...partition,
      base,
      marks,
      format,
      ordered: spec.ordered,
      isOurs: (read) => this.#isOurs(read),
      dueIn: (read) => this.#dueIn(read),
      after: (delayMs, action) => clock.after(delayMs, action, { background: true }),
      onWaiting: () => this.#sleepers.wake(),
    });
  }

  #dueIn({ record: { timestamp, headers } }: Read): number {
    const { clock } = this.#parts.session.settings;
    return timestamp + Number(headers[headerOf.delay] ?? 0) - clock.now();
  }

  #isOurs({ record, recorded: { event } }: Read): boolean {
    if (record.topic === this.#copies.topic) {
      return record.headers[headerOf.group] === this.record.name;
    }
    return !event || this.#matchers.some((matches) => matches(event.type));
  }

  #dropLanes(lanes: readonly Lane[]): void {
    for (const lane of lanes) {
      lane.stop();
      this.#lanes.delete(nameOf(lane));
    }
    for (const lease of [...this.#leases]) if (lease.entry.lane.isEnded) lease.lose();
    this.#desk.tell();
  }

  *#wanted(): Generator<Wanted, void, undefined> {
    for (const lane of this.#lanes.values()) {
      const { wanted } = lane;
      if (wanted) yield wanted;
      else this.#passedOver.add(lane);
    }
  }

  /** There is room again in a lane that had enough. */
  #askForMore(): void {
    for (const lane of this.#passedOver) {
      if (!lane.isEnded && !lane.isOpen) continue;
      this.#passedOver.clear(); // who has enough still is passed over again
      this.#loop.wake();
      return;
    }
  }

  #take(fetched: Fetched): void {
    const lane = this.#lanes.get(nameOf(fetched.wanted));
    if (!lane) return;
    lane.take(fetched);
    if (lane.stuck) void this.#moveOn(lane.stuck);
    if (lane.isDirty) this.#desk.wakeSoon();
    this.#sleepers.wake();
  }

  /** A copy that waits for its time holds up a whole window: it goes to the end. */
  async #moveOn(entry: Entry): Promise<void> {
    const { session, record } = this.#parts;
    const delayMs = Math.max(0, this.#dueIn(entry.read));
    const attempt = entry.first + entry.handed;
    try {
      await sendCopy(session, record, entry.read, { attempt, delayMs });
      if (entry.lane.isEnded || entry.state !== "delayed") return;
      entry.lane.settle(entry);
      this.#desk.wake();
      this.#loop.wake();
    } catch (error) {
      session.settings.logger.warn("A delayed event could not be moved on; it is tried again.", {
        group: record.name,
        error,
      });
      const again = (): void => {
        if (entry.lane.stuck === entry) void this.#moveOn(entry);
      };
      session.settings.clock.after(moveAgainMs, again, { background: true });
    }
  }
}
