import type {
  Capabilities,
  ConsumeSpec,
  GroupState,
  Intake,
  Outgoing,
  PublishResult,
  Transport,
} from "../../bus/transport.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import { BroadcastIntake } from "./broadcast-intake.ts";
import { EventbridgeDeadLetters } from "./dead-letters.ts";
import { closedError, forCaller } from "./eventbridge-error.ts";
import type { Settings } from "./eventbridge-options.ts";
import { GroupIntake } from "./group-intake.ts";
import { joinGroup, listGroups, removeAll } from "./groups.ts";
import { Publishing } from "./publishing.ts";
import { maxInvisibleMs } from "./receipts.ts";
import { Session, type Target } from "./session.ts";
import type { SqsLease } from "./sqs-lease.ts";
import { sweep } from "./sweep.ts";
import { maxEventBytes } from "./wire.ts";

/** Connects at its first use. */
export class EventbridgeTransport implements Transport {
  readonly name: string = "eventbridge";
  readonly capabilities: Capabilities = {
    durable: "disk",
    durableGroups: true,
    history: "none",
    order: "none",
    keyOrder: [],
    maxRetryDelayMs: maxInvisibleMs,
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
  readonly deadLetters: EventbridgeDeadLetters = new EventbridgeDeadLetters(() => this.#open());
  readonly #target: Target;
  readonly #settings: Settings;
  readonly #intakes = new Set<GroupIntake | BroadcastIntake>();
  readonly #publishing = new Set<Promise<unknown>>();
  readonly #held = new Set<SqsLease>();
  readonly #closer = new AbortController();
  #sweeping: Promise<void> | undefined;
  #outgoing: Publishing | undefined;
  #opening: Promise<Session> | undefined;
  #closing: Promise<void> | undefined;

  constructor(target: Target, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
  }

  async publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    const publishing = this.#open().then((session) => this.#outlet(session).publish(batch));
    this.#publishing.add(publishing);
    try {
      return await publishing;
    } finally {
      this.#publishing.delete(publishing);
    }
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    if (spec.ordered) {
      const message = `EventBridge keeps no order by key ("${spec.ordered}") in a group.`;
      throw new CadreError("UNSUPPORTED", message, { feature: "ordered", by: this.name });
    }
    return this.#with("open", async (session) => {
      const intake =
        spec.mode === "group"
          ? await this.#openGroup(session, spec)
          : await this.#openBroadcast(session, spec);
      if (this.#closing) {
        await intake.close();
        throw closedError();
      }
      return intake;
    });
  }

  groups(): Promise<readonly GroupState[]> {
    return this.#with("list groups", (session) => listGroups(session));
  }

  deleteGroup(group: string): Promise<void> {
    return this.#with(`delete ${group}`, (session) =>
      removeAll(session, session.names.group(group)),
    );
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock, eventBus: Name } = this.#settings;
    try {
      const session = await this.#open();
      const startedAt = clock.monotonic();
      const { events } = session.clients;
      await session.call("health", (options) => events.describeEventBus({ Name }, options));
      const tookMs = Math.round(clock.monotonic() - startedAt);
      return { ok: true, detail: `${session.url} answered in ${tookMs} ms` };
    } catch (error) {
      const { message } = describeError(forCaller(error, this.#target.address.shown, "health"));
      return { ok: false, detail: message };
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** What is being published is waited for, at most as long as an answer takes. */
  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody is told
    this.#closer.abort(closedError());
    // Who could not connect has been told so, and leaves nothing to close.
    const session = await this.#opening?.catch(() => undefined);
    if (!session) return;
    await Promise.allSettled([...this.#publishing]);
    await Promise.allSettled([...this.#intakes].map((intake) => intake.close()));
    await Promise.allSettled([...this.#held].map((lease) => lease.abandon()));
    session.end();
    await this.#sweeping;
  }

  async #openGroup(session: Session, spec: ConsumeSpec): Promise<GroupIntake> {
    const joined = await joinGroup(session, spec);
    if (joined.isNew && spec.from !== "new") {
      await removeAll(session, joined.name);
      throw this.#noHistory();
    }
    const onClose = (intake: GroupIntake): void => void this.#intakes.delete(intake);
    const { subscription: group, leaseMs } = spec;
    const held = this.#held;
    const intake = new GroupIntake({ session, group, joined, leaseMs, held, onClose });
    this.#intakes.add(intake);
    try {
      await intake.prove();
      return intake;
    } catch (error) {
      await intake.close();
      throw error;
    }
  }

  async #openBroadcast(session: Session, spec: ConsumeSpec): Promise<BroadcastIntake> {
    if (spec.from !== "new") throw this.#noHistory();
    const { subscription, patterns } = spec;
    const onClose = (intake: BroadcastIntake): void => void this.#intakes.delete(intake);
    const intake = await BroadcastIntake.open({ session, subscription, patterns, onClose });
    this.#intakes.add(intake);
    return intake;
  }

  /** The session never changes once it is open. */
  #outlet(session: Session): Publishing {
    this.#outgoing ??= new Publishing(session);
    return this.#outgoing;
  }

  #noHistory(): CadreError {
    const message =
      "EventBridge keeps no history, so that a subscription begins with what is new. An archive " +
      'keeps one: see "withArchive".';
    return new CadreError("UNSUPPORTED", message, { feature: "from", by: this.name });
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
    this.#sweeping = sweep(session);
    return session;
  }
}
