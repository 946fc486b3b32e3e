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
import { assertPattern } from "../../core/pattern.ts";
import { assertTopic } from "../../core/topic.ts";
import type { UnitOfWork } from "../../core/commit.ts";
import { BroadcastIntake } from "./broadcast-intake.ts";
import { SqliteDeadLetters } from "./dead-letters.ts";
import { tokensOf } from "./delivery-row.ts";
import { encodeEvent } from "./event-rows.ts";
import { GroupHub } from "./group-hub.ts";
import {
  assertSameGroup,
  dropGroup,
  findGroup,
  joinGroup,
  listGroups,
  type Group,
} from "./group-table.ts";
import { headOf, isRow, readRows } from "./log-reader.ts";
import { Paged } from "../../store/paged.ts";
import { publishItem, type Item } from "./publish-request.ts";
import { fromPosition, fromStored, toRecorded } from "./recorded.ts";
import { giveBackAll } from "./settle.ts";
import type { LogFile, Settings } from "./sqlite-log.ts";
import { startPosition } from "./start-position.ts";
import { SqliteUnitOfWork } from "./unit-of-work.ts";
import { closedError } from "./writer.ts";

const unlimited = Number.MAX_SAFE_INTEGER; // JSON, and so the table of guarantees, has no infinity

export function capabilitiesOf(settings: Settings): Capabilities {
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

/** The transport's side of the file. */
export class SqliteTransport implements Transport {
  readonly name: string = "sqlite";
  readonly capabilities: Capabilities;
  readonly deadLetters: DeadLetterBox;
  readonly unitOfWork: UnitOfWork<Lease>;
  readonly #file: LogFile;
  readonly #hubs = new Map<number, GroupHub>();
  readonly #intakes = new Set<Intake>();
  #closing: Promise<void> | undefined;

  constructor(file: LogFile) {
    this.#file = file;
    this.capabilities = capabilitiesOf(file.settings);
    this.deadLetters = new SqliteDeadLetters(file);
    this.unitOfWork = new SqliteUnitOfWork(file);
    file.beforeClose(() => this.close());
  }

  async publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    this.#assertOpen();
    const items = batch.map((outgoing) => this.#encode(outgoing));
    return this.#file.writer.write({
      toDisk: true,
      events: items.flatMap((item) => ("encoded" in item ? [item.encoded] : [])),
      appendsOnly: batch.every((outgoing) => outgoing.to === undefined),
      run: (transaction) => {
        const time = this.#file.time;
        return items.map((item) => publishItem(item, transaction, time));
      },
    });
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    this.#assertOpen();
    for (const pattern of spec.patterns) assertPattern(pattern);
    const onClose = (): void => void this.#intakes.delete(intake);
    let intake: Intake;
    if (spec.mode === "broadcast") {
      const { connection } = this.#file;
      const start = startPosition(connection, spec.from, headOf(connection));
      intake = new BroadcastIntake(this.#file, spec, start, onClose);
    } else {
      const group = await this.#join(spec);
      this.#assertOpen();
      intake = new HubIntake(this.#hub(group), spec.leaseMs, onClose);
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
    const assertOpen = (): void => this.#assertOpen();
    const pages = readRows(this.#file, logQuery, assertOpen);
    return new Paged(pages, (item) => (isRow(item) ? toRecorded(item) : fromStored(item)));
  }

  async groups(): Promise<readonly GroupState[]> {
    this.#assertOpen();
    return listGroups(this.#file.connection);
  }

  async deleteGroup(name: string): Promise<void> {
    this.#assertOpen();
    await this.#file.writer.write({
      toDisk: true,
      events: [],
      run: (transaction) => {
        dropGroup(transaction.connection, name);
        transaction.isNews = true; // pulls that wait end
      },
    });
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    try {
      this.#assertOpen();
      this.#file.connection.sql("SELECT 1 FROM meta LIMIT 1").get();
      return { ok: true };
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) };
    }
  }

  /**
   * Ends its subscriptions and gives back what they hold, as another attempt. The log itself stays
   * open.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const intake of this.#intakes) await intake.close();
    for (const hub of this.#hubs.values()) hub.close();
    const tokens = tokensOf(this.#file.member);
    await this.#file.writer.write({
      toDisk: false,
      events: [],
      run: (transaction) => giveBackAll(transaction, tokens, this.#file.time),
    });
  }

  #encode(outgoing: Outgoing): Item {
    try {
      assertTopic(outgoing.event.type);
      const encoded = encodeEvent(outgoing.event);
      this.#file.checkSize(encoded);
      return { outgoing, encoded };
    } catch (error) {
      return { error };
    }
  }

  async #join(spec: ConsumeSpec): Promise<Group> {
    // Most members come to a group that is there: they have nothing to write.
    const found = findGroup(this.#file.connection, spec.subscription);
    if (found) return assertSameGroup(found, spec);
    return this.#file.writer.write({
      toDisk: true,
      events: [],
      run: (transaction) => {
        const { connection, head } = transaction;
        return joinGroup(connection, spec, () => startPosition(connection, spec.from, head));
      },
    });
  }

  #hub(group: Group): GroupHub {
    let hub = this.#hubs.get(group.no);
    if (!hub) {
      hub = new GroupHub(this.#file, group);
      this.#hubs.set(group.no, hub);
    }
    return hub;
  }

  #assertOpen(): void {
    if (this.#closing) throw closedError(this.#file.path);
    this.#file.assertOpen();
  }
}
