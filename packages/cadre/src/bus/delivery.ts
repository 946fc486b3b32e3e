/** What a handler holds while it runs: one attempt at one event. */
import type { Append, SlotWrite } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Delivery, PublishOptions } from "./bus.ts";
import { checkPublishOptions } from "./publish-options.ts";
import type { Publisher } from "./publisher.ts";

export interface DeliveryParts {
  readonly publisher: Publisher;
  readonly subscription: string;
  /** Whether events are held back until the handler has succeeded. */
  readonly holdsBack: boolean;
  /** Whether there is a unit of work to stage writes in. */
  readonly stages: boolean;
  /** Whether nothing that the handler publishes goes anywhere: a replay. */
  readonly isolated?: boolean;
}

export type IsolatedPublish = PublishOptions & { readonly isolated?: boolean };

/** What comes after the attempt: nothing more may be published or staged in its name. */
type Ending = "running" | "ended";

const none: readonly never[] = Object.freeze([]); // most handlers stage nothing, and need no arrays

/** What only few handlers make use of, so that the delivery of all the others stays small. */
interface Extras {
  heldBack: AgentEvent[];
  appends: readonly Append[];
  slots: readonly SlotWrite[];
  controller: AbortController | undefined;
  abortedWith: { readonly reason: unknown } | undefined;
}

export class RunningDelivery implements Delivery {
  readonly attempt: number;
  readonly event: AgentEvent;
  readonly #parts: DeliveryParts;
  readonly #extend: ((ms: number) => Promise<void>) | undefined;
  #extras: Extras | undefined;
  #state: Ending = "running";

  constructor(
    parts: DeliveryParts,
    event: AgentEvent,
    attempt: number,
    extend?: (ms: number) => Promise<void>,
  ) {
    this.#parts = parts;
    this.event = event;
    this.attempt = attempt;
    this.#extend = extend;
  }

  /** Events that wait for the handler's success. */
  get heldBack(): readonly AgentEvent[] {
    return this.#extras?.heldBack ?? none;
  }

  get appends(): readonly Append[] {
    return this.#extras?.appends ?? none;
  }

  get slots(): readonly SlotWrite[] {
    return this.#extras?.slots ?? none;
  }

  get redelivered(): boolean {
    return this.attempt > 1;
  }

  get subscription(): string {
    return this.#parts.subscription;
  }

  /** Made when it is first asked for: most handlers never look. */
  get signal(): AbortSignal {
    const extras = this.#more();
    if (!extras.controller) {
      extras.controller = new AbortController();
      if (extras.abortedWith) extras.controller.abort(extras.abortedWith.reason);
    }
    return extras.controller.signal;
  }

  async publish(type: string, payload: unknown, options: IsolatedPublish = {}): Promise<never> {
    this.#assertRunning("publish");
    const { publisher, holdsBack, isolated: replayed } = this.#parts;
    const { isolated, ...rest } = options;
    const event = publisher.create(type, payload, {
      cause: this.event,
      ...checkPublishOptions(rest),
    });
    if (!replayed) {
      if (!holdsBack || isolated) await publisher.send(event);
      else await this.#hold(event);
    }
    return event as never; // the caller's registry types it; here all events are alike
  }

  async #hold(event: AgentEvent): Promise<void> {
    const passed = await this.#parts.publisher.pass(event);
    this.#assertRunning("publish");
    if (passed) this.#more().heldBack.push(passed);
  }

  stage(effects: {
    readonly appends?: readonly Append[];
    readonly slots?: readonly SlotWrite[];
    readonly outbox?: readonly AgentEvent[];
  }): void {
    this.#assertRunning("stage");
    if (this.#parts.isolated) return;
    if (!this.#parts.stages) {
      throw new CadreError(
        "UNSUPPORTED",
        `Subscription "${this.subscription}" has no unit of work to stage writes ` +
          `in. Give createBus a unitOfWork, and the subscription a group.`,
        { feature: "stage", by: this.subscription },
      );
    }
    const extras = this.#more();
    extras.appends = [...extras.appends, ...(effects.appends ?? none)];
    extras.slots = [...extras.slots, ...(effects.slots ?? none)];
    if (effects.outbox) extras.heldBack.push(...effects.outbox);
  }

  async extend(ms: number): Promise<void> {
    await this.#extend?.(ms);
  }

  abort(reason: unknown): void {
    const extras = this.#more();
    if (extras.abortedWith) return;
    extras.abortedWith = { reason };
    extras.controller?.abort(reason);
  }

  /** Nothing more is taken in this attempt's name. */
  end(): void {
    this.#state = "ended";
  }

  #more(): Extras {
    this.#extras ??= {
      heldBack: [],
      appends: none,
      slots: none,
      controller: undefined,
      abortedWith: undefined,
    };
    return this.#extras;
  }

  #assertRunning(doing: string): void {
    if (this.#state === "running") return;
    throw new CadreError(
      "CANCELLED",
      `The attempt at event ${this.event.id} is over, and its delivery can no longer ` +
        `${doing}. Await everything that the handler starts.`,
      { what: "delivery" },
    );
  }
}
