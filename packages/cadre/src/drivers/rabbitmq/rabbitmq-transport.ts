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
  readonly #intakes = new Set<GroupIntake | BroadcastIntake>();
  readonly #publishing = new Set<Promise<unknown>>();
  readonly #closer = new AbortController();
  #opening: Promise<Session> | undefined;
  #closing: Promise<void> | undefined;

  constructor(target: Address | RabbitClientLike, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.deadLetters = new RabbitmqDeadLetters(() => this.#open());
  }

  async publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    const publishing = this.#open().then((session) => publishAll(session, batch));
    this.#publishing.add(publishing);
    try {
      return await publishing;
    } finally {
      this.#publishing.delete(publishing);
    }
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    if (spec.ordered) {
      const message = `RabbitMQ keeps no order by key ("${spec.ordered}") in a group.`;
      throw new CadreError("UNSUPPORTED", message, { feature: "ordered", by: this.name });
    }
    if (typeof spec.from === "object" && "after" in spec.from) fromPosition(spec.from.after);
    return this.#with("open", async (session) => {
      const intake =
        spec.mode === "group"
          ? await this.#openGroup(session, spec)
          : await this.#openBroadcast(session, spec);
      if (this.#closing) {
        await intake.close();
        throw closedError();
      }
      this.#intakes.add(intake);
      return intake;
    });
  }

  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const session = await this.#open();
    try {
      yield* readHistory(session, query);
    } catch (error) {
      throw forCaller(error, session.url, "read");
    }
  }

  deleteGroup(group: string): Promise<void> {
    return this.#with(`delete ${group}`, (session) => deleteGroup(session, group));
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock } = this.#settings;
    try {
      const session = await this.#open();
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** What is being published is waited for, at most as long as an answer of the server takes. */
  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody is told
    // No further tries to connect; one that runs may still succeed.
    this.#closer.abort(closedError());
    // Who could not connect has been told so, and leaves nothing to close.
    const session = await this.#opening?.catch(() => undefined);
    if (!session) return;
    await Promise.allSettled([...this.#publishing]);
    await Promise.allSettled([...this.#intakes].map((intake) => intake.close()));
    await this.deadLetters.close();
    await session.end();
  }

  async #openGroup(session: Session, spec: ConsumeSpec): Promise<GroupIntake> {
    await session.patiently("join a group", () => joinGroup(session, spec));
    const onClose = (intake: GroupIntake): void => void this.#intakes.delete(intake);
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
      (intake) => void this.#intakes.delete(intake),
    );
  }

  async #with<Result>(
    what: string,
    operation: (session: Session) => Promise<Result>,
  ): Promise<Result> {
    const session = await this.#open();
    try {
      return await operation(session);
    } catch (error) {
      if (this.#closing) throw closedError();
      throw forCaller(error, session.url, what);
    }
  }

  /** What failed is tried again at the next use. */
  #open(): Promise<Session> {
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

  async #connect(): Promise<Session> {
    const session = await Session.open(this.#target, this.#settings, this.#closer.signal);
    try {
      await session.patiently("prepare", () => prepareTopology(session));
      return session;
    } catch (error) {
      await session.end();
      throw error;
    }
  }
}
