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

interface Open {
  readonly session: Session;
  readonly publishing: Publishing;
}

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
  /** With the topics that each may read; nothing where a wildcard comes first. */
  readonly #intakes = new Map<GroupIntake | BroadcastIntake, readonly string[] | undefined>();
  readonly #publishing = new Set<Promise<unknown>>();
  readonly #closer = new AbortController();
  #session: Session | undefined;
  #opening: Promise<Open> | undefined;
  #closing: Promise<void> | undefined;
  #broadcasts = 0;
  #cancelRefresh: (() => void) | undefined;

  constructor(target: Target, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.deadLetters = new KafkaDeadLetters(async () => (await this.#open()).session);
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
    return this.#send((publishing) => publishing.publish(batch));
  }

  publishInOrder(events: readonly AgentEvent[]): Promise<readonly OrderedResult[]> {
    return this.#send((publishing) => publishing.publishInOrder(events));
  }

  async #send<Results>(send: (publishing: Publishing) => Promise<Results>): Promise<Results> {
    const publishing = this.#open().then((open) => send(open.publishing));
    this.#publishing.add(publishing);
    try {
      return await publishing;
    } finally {
      this.#publishing.delete(publishing);
    }
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    if (spec.ordered === "park-key") {
      const message = 'Kafka keeps the order by key with "block" and "skip", not with "park-key".';
      throw new CadreError("UNSUPPORTED", message, { feature: "park-key", by: this.name });
    }
    if (typeof spec.from === "object" && "after" in spec.from) fromPosition(spec.from.after);
    return this.#with("open", async (session) => {
      const intake =
        spec.mode === "group"
          ? await this.#openGroup(session, spec)
          : await this.#openBroadcast(session, spec);
      this.#intakes.set(intake, planTopics(this.#settings, spec.patterns).names);
      this.#refreshLater(session);
      if (!this.#closing) return intake;
      await intake.close();
      throw closedError();
    });
  }

  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const { session } = await this.#open();
    try {
      yield* readHistory(session, query);
    } catch (error) {
      throw forCaller(error, session.url, "read");
    }
  }

  groups(): Promise<readonly GroupState[]> {
    return this.#with("list the groups", (session) => listGroups(session));
  }

  deleteGroup(group: string): Promise<void> {
    return this.#with(`delete ${group}`, async (session) => {
      const hub = this.#hubs.get(group);
      await session.groups.find(group).then(() => hub?.end(true));
      await deleteGroup(session, group);
    });
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock } = this.#settings;
    try {
      const { session } = await this.#open();
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** What is being published is waited for, at most as long as an answer of a broker takes. */
  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody is told
    this.#cancelRefresh?.();
    // No further tries to connect; one that runs may still succeed.
    this.#closer.abort(closedError());
    // Who could not connect has been told so, and leaves nothing to close.
    const open = await this.#opening?.catch(() => undefined);
    if (!open) return;
    await Promise.allSettled([...this.#publishing]);
    await Promise.allSettled([...this.#intakes.keys()].map((intake) => intake.close()));
    await Promise.allSettled([...this.#hubs.values()].map((hub) => hub.end()));
    await Promise.allSettled([...this.#endingHubs]);
    await open.session.end();
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
    return new GroupIntake(hub, spec.leaseMs, (intake) => void this.#intakes.delete(intake));
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
    for (const intake of [...this.#intakes.keys()]) {
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
      onClose: (intake) => void this.#intakes.delete(intake),
    });
  }

  /** Looks for topics that others have made, as long as anybody listens. */
  #refreshLater(session: Session): void {
    if (this.#cancelRefresh || this.#closing) return;
    const { clock, refreshMs } = this.#settings;
    const look = async (): Promise<void> => {
      const all = [...this.#intakes.values()];
      const isAny = all.some((names) => names === undefined);
      const names = isAny ? undefined : [...new Set(all.flatMap((each) => each ?? []))];
      await session.cluster.refresh(names).catch(() => {}); // the next look tries again
      this.#cancelRefresh = undefined;
      if (this.#intakes.size > 0) this.#refreshLater(session);
    };
    this.#cancelRefresh = clock.after(refreshMs, () => void look(), { background: true });
  }

  async #with<Result>(
    what: string,
    operation: (session: Session) => Promise<Result>,
  ): Promise<Result> {
    const { session } = await this.#open();
    try {
      return await operation(session);
    } catch (error) {
      if (this.#closing) throw closedError();
      throw forCaller(error, session.url, what);
    }
  }

  /** What failed is tried again at the next use. */
  #open(): Promise<Open> {
    if (this.#closing) return Promise.reject(closedError());
    if (!this.#opening) {
      const opening = this.#connect();
      this.#opening = opening;
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  async #connect(): Promise<Open> {
    const cluster = await connectCluster(this.#target, this.#settings, this.#closer.signal);
    try {
      const session = await Session.open(cluster);
      this.#session = session;
      return { session, publishing: new Publishing(session) };
    } catch (error) {
      await cluster.end();
      throw forCaller(error, cluster.url, "prepare");
    }
  }
}
