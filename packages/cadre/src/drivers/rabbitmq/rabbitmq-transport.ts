import { TransportLife } from "../../bus/transport-life.ts";
import type {
  Capabilities,
  ConsumeSpec,
  Intake,
  Outgoing,
  PublishResult,
  ReadQuery,
  Recorded,
  Transport,
} from "../../bus/transport.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import { BroadcastIntake } from "./broadcast-intake.ts";
import type { RabbitClientLike } from "./client.ts";
import type { Address } from "./connect.ts";
import { RabbitmqDeadLetters } from "./dead-letters.ts";
import { maxRetryDelayMs } from "./delays.ts";
import { GroupIntake } from "./group-intake.ts";
import { deleteGroup, joinGroup } from "./groups.ts";
import { readHistory } from "./history.ts";
import { LogCursor, startOf } from "./log-cursor.ts";
import { publishAll } from "./publishing.ts";
import { closedError, forCaller } from "./rabbitmq-error.ts";
import type { Settings } from "./rabbitmq-options.ts";
import { Session } from "./session.ts";
import { prepareTopology } from "./topology.ts";
import { fromPosition, maxEventBytes } from "./wire.ts";

/** Connects at its first use. */
export class RabbitmqTransport implements Transport {
  readonly name: string = "rabbitmq";
  readonly capabilities: Capabilities = {
    // A group's queue is on the disk before the server confirms, the log is not.
    durable: "process",
    durableGroups: true,
    history: "log",
    order: "none",
    keyOrder: [],
    maxRetryDelayMs,
    durableDelay: true,
    delayedPublish: false,
    durableAttempts: true,
    priorities: false,
    publisherDedupeMs: 0,
    reportsUnroutable: false,
    maxBytes: maxEventBytes,
    crossesProcess: true,
    effects: "at-least-once",
  };
  readonly deadLetters: RabbitmqDeadLetters;
  readonly #target: Address | RabbitClientLike;
  readonly #settings: Settings;
  readonly #life: TransportLife<Session, GroupIntake | BroadcastIntake>;

  constructor(target: Address | RabbitClientLike, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.#life = new TransportLife({
      connect: (signal) => this.#connect(signal),
      end: (session) => this.#disconnect(session),
      forCaller: (error, session, what) => forCaller(error, session.url, what),
      closedError,
    });
    this.deadLetters = new RabbitmqDeadLetters(this.#life);
  }

  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return this.#life.publish((session) => publishAll(session, batch));
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    if (spec.ordered) {
      const message = `RabbitMQ keeps no order by key ("${spec.ordered}") in a group.`;
      throw new CadreError("UNSUPPORTED", message, { feature: "ordered", by: this.name });
    }
    if (typeof spec.from === "object" && "after" in spec.from) fromPosition(spec.from.after);
    return this.#life.openIntake((session) =>
      spec.mode === "group" ? this.#openGroup(session, spec) : this.#openBroadcast(session, spec),
    );
  }

  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const session = await this.#life.connection();
    try {
      yield* readHistory(session, query);
    } catch (error) {
      throw forCaller(error, session.url, "read");
    }
  }

  deleteGroup(group: string): Promise<void> {
    return this.#life.use(`delete ${group}`, (session) => deleteGroup(session, group));
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock } = this.#settings;
    try {
      const session = await this.#life.connection();
      if (!session.connected) return { ok: false, detail: `not connected to ${session.url}` };
      const startedAt = clock.monotonic();
      if (!(await session.hasQueue(session.names.log))) {
        return { ok: false, detail: `the log ${session.names.log} at ${session.url} is gone` };
      }
      const tookMs = Math.round(clock.monotonic() - startedAt);
      return { ok: true, detail: `RabbitMQ at ${session.url} answered in ${tookMs} ms` };
    } catch (error) {
      const { message } = describeError(forCaller(error, "its address", "health"));
      return { ok: false, detail: message };
    }
  }

  /** What is being published is waited for, at most as long as an answer of the server takes. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #openGroup(session: Session, spec: ConsumeSpec): Promise<GroupIntake> {
    await session.patiently("join a group", () => joinGroup(session, spec));
    const onClose = (intake: GroupIntake): void => void this.#life.intakes.delete(intake);
    const { subscription: group, leaseMs } = spec;
    return new GroupIntake({ session, group, leaseMs, onClose });
  }

  async #openBroadcast(session: Session, spec: ConsumeSpec): Promise<BroadcastIntake> {
    const cursor = await session.patiently("read the log", async () =>
      LogCursor.open(session, await startOf(session, spec.from)),
    );
    return new BroadcastIntake(
      cursor,
      this.#settings,
      spec.patterns,
      (intake) => void this.#life.intakes.delete(intake),
    );
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    const session = await Session.open(this.#target, this.#settings, signal);
    try {
      await session.patiently("prepare", () => prepareTopology(session));
      return session;
    } catch (error) {
      await session.end();
      throw error;
    }
  }

  async #disconnect(session: Session): Promise<void> {
    await this.deadLetters.close();
    await session.end();
  }
}
