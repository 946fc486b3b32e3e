import { TransportLife } from "../../bus/transport-life.ts";
import type {
  Capabilities,
  ConsumeSpec,
  DeadLetterBox,
  GroupState,
  Intake,
  OrderedResult,
  Outgoing,
  PublishResult,
  ReadQuery,
  Recorded,
  Transport,
} from "../../bus/transport.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { BroadcastIntake } from "./broadcast-intake.ts";
import { connectCluster, type Target } from "./connect.ts";
import { KafkaDeadLetters } from "./dead-letters.ts";
import { GroupHub } from "./group-hub.ts";
import { GroupIntake } from "./group-intake.ts";
import { deleteGroup, groupIdOf, joinGroup, listGroups } from "./groups.ts";
import { readHistory } from "./history.ts";
import { closedError, forCaller } from "./kafka-error.ts";
import type { Settings } from "./kafka-options.ts";
import { Publishing } from "./publishing.ts";
import { defaultMaxBytes, Session } from "./session.ts";
import { startOffsets } from "./start-offsets.ts";
import { planTopics } from "./topics.ts";
import { fromPosition, reservedBytes } from "./wire.ts";

/** A week. */
const maxRetryDelayMs = 7 * 24 * 3_600_000;

/** Connects at its first use. */
export class KafkaTransport implements Transport {
  readonly name: string = "kafka";
  readonly deadLetters: DeadLetterBox;
  readonly #target: Target;
  readonly #settings: Settings;
  readonly #hubs = new Map<string, GroupHub>();
  readonly #endingHubs = new Set<Promise<void>>();
  readonly #life: TransportLife<Session, GroupIntake | BroadcastIntake>;
  /** The topics that each may read; nothing where a wildcard comes first. */
  readonly #topics = new WeakMap<Intake, readonly string[] | undefined>();
  #session: Session | undefined;
  #publishing: Publishing | undefined;
  #broadcasts = 0;
  #cancelRefresh: (() => void) | undefined;

  constructor(target: Target, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.#life = new TransportLife({
      connect: (signal) => this.#connect(signal),
      end: (session) => this.#disconnect(session),
      forCaller: (error, session, what) => forCaller(error, session.url, what),
      closedError,
    });
    this.deadLetters = new KafkaDeadLetters(this.#life);
  }

  get capabilities(): Capabilities {
    return {
      // Replicas in sync have it in their memory; a broker writes to its disk when it likes.
      durable: "process",
      durableGroups: true,
      history: "log",
      order: "partition",
      keyOrder: ["block", "skip"],
      maxRetryDelayMs,
      durableDelay: true,
      delayedPublish: false,
      durableAttempts: true,
      priorities: false,
      publisherDedupeMs: 0,
      reportsUnroutable: false,
      maxBytes: this.#session?.maxEventBytes ?? defaultMaxBytes - reservedBytes,
      crossesProcess: true,
      effects: "at-least-once",
    };
  }

  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return this.#life.publish((session) => this.#outlet(session).publish(batch));
  }

  publishInOrder(events: readonly AgentEvent[]): Promise<readonly OrderedResult[]> {
    return this.#life.publish((session) => this.#outlet(session).publishInOrder(events));
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    if (spec.ordered === "park-key") {
      const message = 'Kafka keeps the order by key with "block" and "skip", not with "park-key".';
      throw new CadreError("UNSUPPORTED", message, { feature: "park-key", by: this.name });
    }
    if (typeof spec.from === "object" && "after" in spec.from) fromPosition(spec.from.after);
    return this.#life.openIntake(async (session) => {
      const intake =
        spec.mode === "group"
          ? await this.#openGroup(session, spec)
          : await this.#openBroadcast(session, spec);
      this.#topics.set(intake, planTopics(this.#settings, spec.patterns).names);
      this.#refreshLater(session);
      return intake;
    });
  }

  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const session = await this.#life.connection();
    try {
      yield* readHistory(session, query);
    } catch (error) {
      throw forCaller(error, session.url, "read");
    }
  }

  groups(): Promise<readonly GroupState[]> {
    return this.#life.use("list the groups", (session) => listGroups(session));
  }

  deleteGroup(group: string): Promise<void> {
    return this.#life.use(`delete ${group}`, async (session) => {
      const hub = this.#hubs.get(group);
      await session.groups.find(group).then(() => hub?.end(true));
      await deleteGroup(session, group);
    });
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock } = this.#settings;
    try {
      const session = await this.#life.connection();
      const startedAt = clock.monotonic();
      await session.cluster.refresh([]);
      const tookMs = Math.round(clock.monotonic() - startedAt);
      const { url, cluster } = session;
      const brokers = cluster.nodes.length === 1 ? "1 broker" : `${cluster.nodes.length} brokers`;
      return { ok: true, detail: `Kafka at ${url} (${brokers}) answered in ${tookMs} ms` };
    } catch (error) {
      const { message } = describeError(forCaller(error, "its address", "health"));
      return { ok: false, detail: message };
    }
  }

  /** What is being published is waited for, at most as long as an answer of a broker takes. */
  close(): Promise<void> {
    this.#cancelRefresh?.();
    return this.#life.close();
  }

  async #openGroup(session: Session, spec: ConsumeSpec): Promise<GroupIntake> {
    const record = await joinGroup(session, spec);
    const name = spec.subscription;
    let hub = this.#hubs.get(name);
    if (!hub || hub.isEnded || hub.record.incarnation !== record.incarnation) {
      const groupId = groupIdOf(session, name);
      const onEnd = (ended: GroupHub, wasDeleted: boolean): void =>
        this.#onHubEnd(ended, wasDeleted);
      hub = new GroupHub({ session, groupId, record, spec, onEnd });
      this.#hubs.set(name, hub);
    }
    hub.members += 1;
    return new GroupIntake(hub, spec.leaseMs, (intake) => void this.#life.intakes.delete(intake));
  }

  #onHubEnd(hub: GroupHub, wasDeleted: boolean): void {
    const { name } = hub.record;
    if (this.#hubs.get(name) === hub) this.#hubs.delete(name);
    const ending = hub.end().finally(() => this.#endingHubs.delete(ending));
    this.#endingHubs.add(ending);
    if (!wasDeleted) return;
    this.#settings.logger.warn("A group was deleted while a member was open; the member ends.", {
      group: name,
    });
    for (const intake of [...this.#life.intakes]) {
      if (intake instanceof GroupIntake && intake.hub === hub) void intake.close();
    }
  }

  async #openBroadcast(session: Session, spec: ConsumeSpec): Promise<BroadcastIntake> {
    const starts = await startOffsets(session, spec.patterns, spec.from);
    this.#broadcasts += 1;
    return new BroadcastIntake({
      session,
      patterns: spec.patterns,
      starts,
      purpose: `broadcast ${this.#broadcasts}`,
      onClose: (intake) => void this.#life.intakes.delete(intake),
    });
  }

  /** Looks for topics that others have made, as long as anybody listens. */
  #refreshLater(session: Session): void {
    if (this.#cancelRefresh || this.#life.isClosing) return;
    const { clock, refreshMs } = this.#settings;
    const look = async (): Promise<void> => {
      const all = [...this.#life.intakes].map((intake) => this.#topics.get(intake));
      const isAny = all.some((names) => names === undefined);
      const names = isAny ? undefined : [...new Set(all.flatMap((each) => each ?? []))];
      await session.cluster.refresh(names).catch(() => {}); // the next look tries again
      this.#cancelRefresh = undefined;
      if (this.#life.intakes.size > 0) this.#refreshLater(session);
    };
    this.#cancelRefresh = clock.after(refreshMs, () => void look(), { background: true });
  }

  /** The session never changes once it is open. */
  #outlet(session: Session): Publishing {
    this.#publishing ??= new Publishing(session);
    return this.#publishing;
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    const cluster = await connectCluster(this.#target, this.#settings, signal);
    try {
      const session = await Session.open(cluster);
      this.#session = session;
      return session;
    } catch (error) {
      await cluster.end();
      throw forCaller(error, cluster.url, "prepare");
    }
  }

  async #disconnect(session: Session): Promise<void> {
    await Promise.allSettled([...this.#hubs.values()].map((hub) => hub.end()));
    await Promise.allSettled([...this.#endingHubs]);
    await session.end();
  }
}
