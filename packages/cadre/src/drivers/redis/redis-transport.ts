import { HubIntake } from "../../bus/hub-intake.ts";
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
  readonly #life: TransportLife<Open, HubIntake<GroupHub> | BroadcastIntake>;
  readonly #hubs = new Map<string, { readonly hub: GroupHub; members: number }>();
  #session: Session | undefined;

  constructor(target: Address | RedisClientLike, settings: Settings) {
    this.#target = target;
    this.#settings = settings;
    this.#life = new TransportLife({
      connect: (signal) => this.#connect(signal),
      end: (open) => this.#disconnect(open),
      forCaller: (error) => error, // the session speaks to callers already
      closedError,
    });
    this.deadLetters = new RedisDeadLetters(async () => (await this.#life.connection()).session);
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
    return this.#life.publish(({ publishing }) => publishing.publish(batch));
  }

  publishInOrder(events: readonly AgentEvent[]): Promise<readonly OrderedResult[]> {
    return this.#life.publish(({ publishing }) => publishing.publishInOrder(events));
  }

  open(spec: ConsumeSpec): Promise<Intake> {
    return this.#life.openIntake(async (open) => {
      await open.hubs.wake.start();
      return spec.mode === "group" ? this.#openGroup(open, spec) : this.#openBroadcast(open, spec);
    });
  }

  async *read(query: ReadQuery): AsyncGenerator<Recorded, void, undefined> {
    const { session } = await this.#life.connection();
    yield* readHistory(session, query);
  }

  groups(): Promise<readonly GroupState[]> {
    return this.#life.use("list the groups", ({ session }) => listGroups(session));
  }

  deleteGroup(group: string): Promise<void> {
    return this.#life.use(`delete ${group}`, ({ session }) => deleteGroup(session, group));
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    const { clock } = this.#settings;
    try {
      const { session } = await this.#life.connection();
      if (!session.connected) return { ok: false, detail: `not connected to ${session.url}` };
      const startedAt = clock.monotonic();
      await session.command("PING");
      const tookMs = Math.round(clock.monotonic() - startedAt);
      return { ok: true, detail: `Redis at ${session.url} answered in ${tookMs} ms` };
    } catch (error) {
      return { ok: false, detail: describeError(error).message };
    }
  }

  /** What is being published is waited for, at most as long as an answer of the server takes. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #openGroup({ session, hubs }: Open, spec: ConsumeSpec): Promise<HubIntake<GroupHub>> {
    const record = recordOf(spec, session);
    const name = spec.subscription;
    const mark = await joinGroup(session, name, record, spec.from);
    const hub = this.#enter(hubs, { name, record, mark });
    return new HubIntake(hub, spec.leaseMs, (intake) => {
      this.#life.intakes.delete(intake);
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
    for (const intake of [...this.#life.intakes]) {
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
      onClose: (intake) => void this.#life.intakes.delete(intake),
    });
  }

  async #connect(signal: AbortSignal): Promise<Open> {
    const target = this.#target;
    const client = isAddress(target) ? await connect(target, this.#settings, signal) : target;
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

  async #disconnect({ session, hubs }: Open): Promise<void> {
    await Promise.allSettled([...this.#hubs.values()].map(({ hub }) => hub.close()));
    hubs.wake.close();
    session.end();
    if (isAddress(this.#target)) session.client.disconnect();
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
