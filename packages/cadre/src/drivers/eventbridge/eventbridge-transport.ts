import { TransportLife } from "../../bus/transport-life.ts";
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
  readonly deadLetters: EventbridgeDeadLetters;
  readonly #target: Target;
  readonly #settings: Settings;
  readonly #life: TransportLife<Session, GroupIntake | BroadcastIntake>;
  readonly #held = new Set<SqsLease>();
  #sweeping: Promise<void> | undefined;
  #outgoing: Publishing | undefined;

  constructor(target: Target, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.#life = new TransportLife({
      connect: (signal) => this.#connect(signal),
      end: (session) => this.#disconnect(session),
      forCaller: (error, session, what) => forCaller(error, session.url, what),
      closedError,
    });
    this.deadLetters = new EventbridgeDeadLetters(this.#life);
  }

  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return this.#life.publish((session) => this.#outlet(session).publish(batch));
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    if (spec.ordered) {
      const message = `EventBridge keeps no order by key ("${spec.ordered}") in a group.`;
      throw new CadreError("UNSUPPORTED", message, { feature: "ordered", by: this.name });
    }
    return this.#life.openIntake((session) =>
      spec.mode === "group" ? this.#openGroup(session, spec) : this.#openBroadcast(session, spec),
    );
  }

  groups(): Promise<readonly GroupState[]> {
    return this.#life.use("list groups", (session) => listGroups(session));
  }

  deleteGroup(group: string): Promise<void> {
    return this.#life.use(`delete ${group}`, (session) =>
      removeAll(session, session.names.group(group)),
    );
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock, eventBus: Name } = this.#settings;
    try {
      const session = await this.#life.connection();
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

  /** What is being published is waited for, at most as long as an answer takes. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #openGroup(session: Session, spec: ConsumeSpec): Promise<GroupIntake> {
    const joined = await joinGroup(session, spec);
    if (joined.isNew && spec.from !== "new") {
      await removeAll(session, joined.name);
      throw this.#noHistory();
    }
    const onClose = (intake: GroupIntake): void => void this.#life.intakes.delete(intake);
    const { subscription: group, leaseMs } = spec;
    const held = this.#held;
    const intake = new GroupIntake({ session, group, joined, leaseMs, held, onClose });
    this.#life.intakes.add(intake);
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
    const onClose = (intake: BroadcastIntake): void => void this.#life.intakes.delete(intake);
    return BroadcastIntake.open({ session, subscription, patterns, onClose });
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

  async #connect(signal: AbortSignal): Promise<Session> {
    const session = await Session.open(this.#target, this.#settings, signal);
    this.#sweeping = sweep(session);
    return session;
  }

  async #disconnect(session: Session): Promise<void> {
    await Promise.allSettled([...this.#held].map((lease) => lease.abandon()));
    session.end();
    await this.#sweeping;
  }
}
