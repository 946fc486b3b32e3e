import { HubIntake } from "../../bus/hub-intake.ts";
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
import { describeError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { Address } from "./address.ts";
import { BroadcastIntake } from "./broadcast-intake.ts";
import type { RedisClientLike } from "./client.ts";
import { connect } from "./connect.ts";
import { RedisDeadLetters } from "./dead-letters.ts";
import { GroupHub, type HubParts, type JoinedGroup } from "./group-hub.ts";
import { deleteGroup, joinGroup, listGroups, recordOf } from "./groups.ts";
import { readHistory } from "./history.ts";
import { prepare } from "./prepare.ts";
import { Publishing } from "./publishing.ts";
import type { Settings } from "./redis-options.ts";
import { closedError, Session } from "./session.ts";
import { createSettleDesk } from "./settle-desk.ts";
import { planWanted } from "./topics.ts";
import { Wake } from "./wake.ts";
import { startId } from "./wire.ts";

const maxRetryDelayMs = 365 * 24 * 3_600_000; // a year; the server would take more

/** What one connection serves its subscriptions with. */
interface Open {
  readonly session: Session;
  readonly publishing: Publishing;
  readonly hubs: HubParts;
}

/** Connects at its first use. */
export class RedisTransport implements Transport {
  readonly name: string = "redis";
  readonly deadLetters: DeadLetterBox;
  readonly #target: Address | RedisClientLike;
  readonly #settings: Settings;
  readonly #intakes = new Set<HubIntake<GroupHub> | BroadcastIntake>();
  readonly #hubs = new Map<string, { readonly hub: GroupHub; members: number }>();
  readonly #publishing = new Set<Promise<unknown>>();
  readonly #closer = new AbortController();
  #opening: Promise<Open> | undefined;
  #session: Session | undefined;
  #closing: Promise<void> | undefined;

  constructor(target: Address | RedisClientLike, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.deadLetters = new RedisDeadLetters(async () => (await this.#open()).session);
  }

  get capabilities(): Capabilities {
    const { durable, dedupeMs, maxBytes } = this.#settings;
    return {
      durable: this.#session?.durable ?? durable ?? "no",
      durableGroups: true,
      history: "log",
      order: "total",
      keyOrder: ["block", "park-key", "skip"],
      maxRetryDelayMs,
      durableDelay: true,
      delayedPublish: true,
      durableAttempts: true,
      priorities: false,
      publisherDedupeMs: dedupeMs,
      reportsUnroutable: false,
      maxBytes,
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
    const open = await this.#open();
    await open.hubs.wake.start();
    const intake =
      spec.mode === "group"
        ? await this.#openGroup(open, spec)
        : await this.#openBroadcast(open, spec);
    this.#intakes.add(intake);
    if (!this.#closing) return intake;
    await intake.close();
    throw closedError();
  }

  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const { session } = await this.#open();
    yield* readHistory(session, query);
  }

  async groups(): Promise<readonly GroupState[]> {
    return listGroups((await this.#open()).session);
  }

  async deleteGroup(group: string): Promise<void> {
    await deleteGroup((await this.#open()).session, group);
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock } = this.#settings;
    try {
      const { session } = await this.#open();
      if (!session.connected) return { ok: false, detail: `not connected to ${session.url}` };
      const startedAt = clock.monotonic();
      await session.command("PING");
      const tookMs = Math.round(clock.monotonic() - startedAt);
      return { ok: true, detail: `Redis at ${session.url} answered in ${tookMs} ms` };
    } catch (error) {
      return { ok: false, detail: describeError(error).message };
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
    const open = await this.#opening?.catch(() => undefined);
    if (!open) return;
    await Promise.allSettled([...this.#publishing]);
    for (const intake of [...this.#intakes]) await intake.close();
    await Promise.allSettled([...this.#hubs.values()].map(({ hub }) => hub.close()));
    open.hubs.wake.close();
    open.session.end();
    if (isAddress(this.#target)) open.session.client.disconnect();
  }

  async #openGroup({ session, hubs }: Open, spec: ConsumeSpec): Promise<HubIntake<GroupHub>> {
    const record = recordOf(spec, session);
    const name = spec.subscription;
    const mark = await joinGroup(session, name, record, spec.from);
    const hub = this.#enter(hubs, { name, record, mark });
    return new HubIntake(hub, spec.leaseMs, (intake) => {
      this.#intakes.delete(intake);
      this.#leave(hub);
    });
  }

  #enter(parts: HubParts, group: JoinedGroup): GroupHub {
    const known = this.#hubs.get(group.name);
    if (known) {
      known.members += 1;
      return known.hub;
    }
    const hub = new GroupHub(parts, group, () => this.#endGroup(hub));
    this.#hubs.set(group.name, { hub, members: 1 });
    return hub;
  }

  #leave(hub: GroupHub): void {
    const entry = this.#hubs.get(hub.name);
    if (entry?.hub !== hub) return;
    entry.members -= 1;
    if (entry.members === 0) this.#hubs.delete(hub.name);
  }

  /** The group was deleted while members were open: they end. */
  #endGroup(hub: GroupHub): void {
    this.#settings.logger.warn("A group was deleted while a member was open; the member ends.", {
      group: hub.name,
    });
    this.#hubs.delete(hub.name);
    for (const intake of [...this.#intakes]) {
      if (intake instanceof HubIntake && intake.hub === hub) void intake.close();
    }
  }

  async #openBroadcast({ session, hubs }: Open, spec: ConsumeSpec): Promise<BroadcastIntake> {
    const after = startId(spec.from) ?? (await newestId(session));
    return new BroadcastIntake({
      session,
      wake: hubs.wake,
      wanted: planWanted(spec.patterns, this.#settings),
      after,
      maxQueued: spec.maxQueued,
      onClose: (intake) => void this.#intakes.delete(intake),
    });
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
    const target = this.#target;
    const client = isAddress(target)
      ? await connect(target, this.#settings, this.#closer.signal)
      : target;
    const url = isAddress(target) ? target.shown : "the given connection";
    const session = new Session(client, this.#settings, url, isAddress(target));
    try {
      await prepare(session);
    } catch (error) {
      session.end();
      if (isAddress(target)) client.disconnect();
      throw error;
    }
    this.#session = session;
    const hubs = this.#makeHubParts(session);
    return { session, publishing: new Publishing(session, hubs.wake), hubs };
  }

  #makeHubParts(session: Session): HubParts {
    const { random, clock } = this.#settings;
    const owner = random.id(clock.now());
    let claims = 0;
    return {
      session,
      desk: createSettleDesk(session),
      wake: new Wake(session),
      newToken: () => `${owner}.${(claims += 1)}`,
    };
  }
}

/** The last id that was given on the bus. */
async function newestId(session: Session): Promise<string> {
  const last = await session.command("HGET", session.key("bus"), "last");
  return typeof last === "string" ? last : "0-0";
}

function isAddress(target: Address | RedisClientLike): target is Address {
  return "shown" in target;
}
