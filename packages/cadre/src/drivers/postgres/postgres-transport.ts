import { HubIntake } from "../../bus/hub-intake.ts";
import type {
  Capabilities,
  ConsumeSpec,
  DeadLetterBox,
  GroupState,
  Intake,
  Lease,
  Outgoing,
  PublishResult,
  ReadQuery,
  Recorded,
  Transport,
} from "../../bus/transport.ts";
import type { UnitOfWork } from "../../core/commit.ts";
import { describeError } from "../../core/errors.ts";
import { assertPattern } from "../../core/pattern.ts";
import { assertTopic } from "../../core/topic.ts";
import { Paged } from "../../store/paged.ts";
import { AckDesk } from "./ack-desk.ts";
import { BroadcastIntake } from "./broadcast-intake.ts";
import type { Row } from "./client.ts";
import { channelOf } from "./log-turn.ts";
import { PostgresDeadLetters } from "./dead-letters.ts";
import { publishItems, type Item } from "./delivery-publish.ts";
import type { CommitNews } from "./commit-news.ts";
import { encodeEvent } from "./event-rows.ts";
import { GroupHub, type HubParts } from "./group-hub.ts";
import { GroupPoll } from "./group-poll.ts";
import { startSql } from "./group-start.ts";
import { dropGroup, joinGroup, listGroups } from "./group-table.ts";
import { KnownMarks } from "./known-marks.ts";
import { readRows, type LogQuery } from "./log-reader.ts";
import { LogTail } from "./log-tail.ts";
import { closedError } from "./postgres-error.ts";
import type { Log } from "./postgres-log.ts";
import type { Settings } from "./postgres-options.ts";
import { fromPosition, toRecorded } from "./recorded.ts";
import { SettleDesk } from "./settle-desk.ts";
import { PostgresUnitOfWork } from "./unit-of-work.ts";
import { WakeIntake } from "./wake-intake.ts";

const unlimited = Number.MAX_SAFE_INTEGER; // JSON, and so the table of guarantees, has no infinity
const giveBackMs = 5_000; // a server that is down is not waited for any longer when closing

function capabilitiesOf(settings: Settings): Capabilities {
  return Object.freeze({
    durable: settings.durability,
    durableGroups: true,
    history: "log",
    order: "total",
    keyOrder: Object.freeze(["block", "park-key", "skip"] as const),
    maxRetryDelayMs: unlimited,
    durableDelay: true,
    delayedPublish: true,
    durableAttempts: true,
    priorities: true,
    publisherDedupeMs: unlimited,
    reportsUnroutable: false,
    maxBytes: settings.maxEventBytes,
    crossesProcess: true,
    effects: "once",
  });
}

/** The transport's side of the log. */
export class PostgresTransport implements Transport {
  readonly name: string = "postgres";
  readonly capabilities: Capabilities;
  readonly deadLetters: DeadLetterBox;
  readonly unitOfWork: UnitOfWork<Lease>;
  readonly #log: Log;
  readonly #parts: HubParts;
  readonly #acks: AckDesk;
  readonly #tail: LogTail;
  readonly #wake: WakeIntake;
  readonly #closesLog: boolean;
  readonly #hubs = new Map<number, GroupHub>();
  readonly #intakes = new Set<Intake>();
  /** What was taken before a close is answered before it ends. */
  readonly #publishing = new Set<Promise<unknown>>();
  #claims = 0;
  #closing: Promise<void> | undefined;

  /** @param closesLog whether the log is nobody else's */
  constructor(log: Log, closesLog: boolean) {
    const { connection, settings } = log;
    this.#log = log;
    this.#closesLog = closesLog;
    this.capabilities = capabilitiesOf(settings);
    // Drawn by chance: after a crash the server may not remember whom it has given a number.
    const owner = settings.random.integer(2 ** 21) * 2 ** 32 + settings.random.integer(2 ** 32);
    this.#tail = new LogTail(connection);
    this.#wake = new WakeIntake(log);
    const marks = new KnownMarks();
    this.#acks = new AckDesk(connection, owner);
    this.#parts = {
      connection,
      owner,
      desk: new SettleDesk(connection, owner),
      nextToken: () => (this.#claims += 1),
      wake: this.#wake,
      tail: this.#tail,
      poll: new GroupPoll(connection),
      marks,
    };
    this.deadLetters = new PostgresDeadLetters(() => this.#ready());
    this.unitOfWork = new PostgresUnitOfWork(log, { owner, acks: this.#acks, marks });
    log.beforeClose(() => this.#end());
  }

  async publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    const publishing = this.#publish(batch);
    this.#publishing.add(publishing);
    try {
      return await publishing;
    } finally {
      this.#publishing.delete(publishing);
    }
  }

  async #publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    await this.#ready();
    return publishItems(
      this.#log,
      batch.map((outgoing) => this.#encode(outgoing)),
    );
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    for (const pattern of spec.patterns) assertPattern(pattern);
    await this.#ready();
    const stopListening = this.#wake.open();
    const onClose = (): void => {
      stopListening();
      this.#intakes.delete(intake);
    };
    let intake: Intake;
    try {
      intake = await this.#openIntake(spec, onClose);
    } catch (error) {
      stopListening();
      throw error;
    }
    this.#intakes.add(intake);
    return intake;
  }

  read(query: ReadQuery): AsyncIterable<Recorded> {
    this.#assertOpen();
    const { after, before, ...rest } = query;
    const logQuery = {
      ...rest,
      publicOnly: true,
      ...(after === undefined ? {} : { after: fromPosition(after) }),
      ...(before === undefined ? {} : { upTo: Math.max(0, fromPosition(before) - 1) }),
    };
    return new Paged(this.#pages(logQuery), toRecorded);
  }

  async groups(): Promise<readonly GroupState[]> {
    await this.#ready();
    return listGroups(this.#log.connection);
  }

  async deleteGroup(name: string): Promise<void> {
    await this.#ready();
    await dropGroup(this.#log.connection, name);
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    try {
      this.#assertOpen();
      await this.#ping();
      return { ok: true };
    } catch (error) {
      return { ok: false, detail: describeError(error).message };
    }
  }

  /**
   * Ends its subscriptions and gives back what they hold, as another attempt. An open log that it
   * was taken from stays open.
   */
  async close(): Promise<void> {
    await this.#end();
    if (this.#closesLog) await this.#log.close();
  }

  #end(): Promise<void> {
    this.#closing ??= this.#giveBack();
    return this.#closing;
  }

  async #giveBack(): Promise<void> {
    for (const intake of this.#intakes) await intake.close();
    const { clock, logger } = this.#log.settings;
    const enough = new AbortController();
    const given = this.#giveBackAll().catch((error: unknown) => {
      // What it holds is free when its leases have ended.
      logger.warn("The transport was closed without giving back what it holds.", { error });
    });
    const late = clock.sleep(giveBackMs, enough.signal).catch(() => {});
    await Promise.race([given, late]);
    enough.abort();
    await Promise.allSettled(this.#publishing);
  }

  async #giveBackAll(): Promise<void> {
    await Promise.all([...this.#hubs.values()].map((hub) => hub.close()));
    await Promise.all([this.#parts.desk.close(), this.#acks.close()]);
    if (this.#claims === 0) return; // it can hold nothing
    const { connection, settings } = this.#log;
    const values = [this.#parts.owner, channelOf(settings.schema)];
    await connection.query(`SELECT ${settings.schema}.give_back($1, $2)`, values);
  }

  /** One try: whoever asks wants to know how it is now. */
  async #ping(): Promise<void> {
    const text = `SELECT 1 FROM ${this.#log.settings.schema}.meta LIMIT 1`;
    await this.#log.connection.once((session) => session.query(text));
  }

  async *#pages(query: LogQuery): AsyncIterable<readonly Row[]> {
    yield* readRows(await this.#ready(), query);
  }

  async #openIntake(spec: ConsumeSpec, onClose: () => void): Promise<Intake> {
    if (spec.mode === "broadcast") return this.#broadcast(spec, onClose);
    return new HubIntake(await this.#hub(spec), spec.leaseMs, onClose);
  }

  async #broadcast(spec: ConsumeSpec, onClose: () => void): Promise<Intake> {
    const { connection, settings } = this.#log;
    const { sql, values } = startSql(settings.schema, spec.from, 1);
    const start = Number(await connection.value(`SELECT ${sql}`, values));
    this.#assertOpen();
    const parts = {
      connection,
      tail: this.#tail,
      listen: (ring: (news: CommitNews) => void) => this.#wake.listen(ring),
      onClose,
    };
    return new BroadcastIntake(parts, spec, start);
  }

  /** All members of a group on one connection are served together. */
  async #hub(spec: ConsumeSpec): Promise<GroupHub> {
    const group = await joinGroup(this.#log.connection, spec);
    this.#assertOpen();
    let hub = this.#hubs.get(group.no);
    if (!hub) {
      hub = new GroupHub(this.#parts, group, spec.patterns);
      this.#hubs.set(group.no, hub);
    }
    return hub;
  }

  #encode(outgoing: Outgoing): Item {
    try {
      assertTopic(outgoing.event.type);
      const encoded = encodeEvent(outgoing.event);
      this.#log.checkSize(encoded);
      return { outgoing, encoded };
    } catch (error) {
      return { error };
    }
  }

  async #ready(): Promise<Log["connection"]> {
    this.#assertOpen();
    await this.#log.ready();
    return this.#log.connection;
  }

  #assertOpen(): void {
    if (this.#closing) throw closedError(this.#log.shown);
    this.#log.assertOpen();
  }
}
