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
import type { NatsClientLike } from "./client.ts";
import { connect, loadLibrary, type Address } from "./connect.ts";
import { NatsDeadLetters } from "./dead-letters.ts";
import { GroupIntake } from "./group-intake.ts";
import { listGroups } from "./group-list.ts";
import { deleteGroup, joinGroup, startConfig } from "./groups.ts";
import { readHistory } from "./history.ts";
import { LogCursor } from "./log-cursor.ts";
import { forCaller } from "./nats-error.ts";
import type { Settings } from "./nats-options.ts";
import { publishInOrder } from "./ordered-publishing.ts";
import { maxEventBytes, publishAll } from "./publishing.ts";
import { closedError, Session } from "./session.ts";
import { prepareStreams } from "./streams.ts";
import { planSubject } from "./subjects.ts";

const maxRetryDelayMs = 30 * 24 * 3_600_000; // 30 days; the server would take more

/** Connects at its first use. */
export class NatsTransport implements Transport {
  readonly name: string = "nats";
  readonly deadLetters: DeadLetterBox;
  readonly #target: Address | NatsClientLike;
  readonly #settings: Settings;
  readonly #life: TransportLife<Session, GroupIntake | BroadcastIntake>;
  #session: Session | undefined;

  constructor(target: Address | NatsClientLike, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.#life = new TransportLife({
      connect: (signal) => this.#connect(signal),
      end: (session) => this.#disconnect(session),
      forCaller: (error, session) => forCaller(error, session.url),
      closedError,
    });
    this.deadLetters = new NatsDeadLetters(this.#life);
  }

  get capabilities(): Capabilities {
    return {
      durable: "process", // the server answers before it syncs to disk
      durableGroups: true,
      history: "log",
      order: "total",
      keyOrder: [],
      maxRetryDelayMs,
      durableDelay: false, // kept in whole seconds: a restart may end it up to a second early
      delayedPublish: false,
      durableAttempts: true,
      priorities: false,
      publisherDedupeMs: this.#settings.dedupeMs,
      reportsUnroutable: false,
      maxBytes: maxEventBytes(this.#session),
      crossesProcess: true,
      effects: "at-least-once",
    };
  }

  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return this.#life.publish((session) => publishAll(session, batch));
  }

  publishInOrder(events: readonly AgentEvent[]): Promise<readonly OrderedResult[]> {
    return this.#life.publish((session) => publishInOrder(session, events));
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    if (spec.ordered) {
      const message = `JetStream keeps no order by key ("${spec.ordered}") in a group.`;
      throw new CadreError("UNSUPPORTED", message, { feature: "ordered", by: this.name });
    }
    return this.#life.openIntake((session) =>
      spec.mode === "group" ? this.#openGroup(session, spec) : this.#openBroadcast(session, spec),
    );
  }

  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const session = await this.#life.connection();
    try {
      yield* readHistory(session, query);
    } catch (error) {
      throw forCaller(error, session.url);
    }
  }

  groups(): Promise<readonly GroupState[]> {
    return this.#life.use("list the groups", (session) => listGroups(session));
  }

  deleteGroup(group: string): Promise<void> {
    return this.#life.use(`delete ${group}`, (session) => deleteGroup(session, group));
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock, requestTimeoutMs } = this.#settings;
    try {
      const session = await this.#life.connection();
      if (!session.connected) return { ok: false, detail: `not connected to ${session.url}` };
      const startedAt = clock.monotonic();
      await session.api("INFO");
      const tookMs = Math.round(clock.monotonic() - startedAt);
      return { ok: true, detail: `JetStream at ${session.url} answered in ${tookMs} ms` };
    } catch (error) {
      const { message } = describeError(forCaller(error, "the NATS server"));
      return { ok: false, detail: `${message} (within ${requestTimeoutMs} ms)` };
    }
  }

  /** What is being published is waited for, at most as long as an answer of the server takes. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #openGroup(session: Session, spec: ConsumeSpec): Promise<GroupIntake> {
    const record = await session.patiently(() => joinGroup(session, spec));
    const onClose = (intake: GroupIntake): void => void this.#life.intakes.delete(intake);
    return new GroupIntake({ session, record, leaseMs: spec.leaseMs, onClose });
  }

  async #openBroadcast(session: Session, spec: ConsumeSpec): Promise<BroadcastIntake> {
    const { stream, prefix } = this.#settings;
    const subject = planSubject(prefix, spec.patterns);
    const start = startConfig(spec.from);
    const cursor = await session.patiently(() =>
      LogCursor.open({ session, stream, subject }, start),
    );
    const { wire } = session.settings;
    return new BroadcastIntake(cursor, wire, (intake) => void this.#life.intakes.delete(intake));
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    const target = this.#target;
    const library = await loadLibrary();
    const client = isAddress(target) ? await connect(target, this.#settings, signal) : target;
    const url = isAddress(target) ? target.shown : "the given connection";
    const session = new Session(client, this.#settings, {
      url,
      makeHeaders: () => library.headers(),
    });
    try {
      await prepareStreams(session);
    } catch (error) {
      session.end();
      if (isAddress(target)) await client.close();
      throw forCaller(error, url);
    }
    this.#session = session;
    return session;
  }

  async #disconnect(session: Session): Promise<void> {
    session.end();
    if (isAddress(this.#target)) await session.client.close();
    else if (session.connected) await session.client.flush();
  }
}

function isAddress(target: Address | NatsClientLike): target is Address {
  return "shown" in target;
}
