/**
 * Definitions of groups, in a compacted topic with one partition.
 *
 *   key GROUP ─▶ definition, and where each partition began     (the first one counts)
 *             ─▶ nothing: deleted
 *
 * Two members may define a group at once: the log says who was first. The other writes the first
 * definition once more, so that what compaction keeps is right.
 */
import { CadreError } from "../../core/errors.ts";
import type { Session } from "./session.ts";
import { nameOf, offsetsAt, readRange, type Partition } from "./log-access.ts";
import { internalTopic } from "./topics.ts";
import type { LogRecord } from "./wire.ts";

export interface GroupRecord {
  readonly name: string;
  /** Tells a group from a later one of the same name. */
  readonly incarnation: string;
  readonly definition: string;
  readonly patterns: readonly string[];
  /** The partition in which events for it alone lie. */
  readonly copies: number;
  /** First offsets by partition; one that is not here began empty. */
  readonly starts: Readonly<Record<string, number>>;
}

export class GroupRecords {
  readonly #session: Session;
  readonly #records = new Map<string, GroupRecord>();
  /** Groups whose last definition is not the first one: its writer died before he saw that. */
  readonly #disputed = new Set<string>();
  #next = 0;
  #reading: Promise<void> | undefined;
  #again: Promise<void> | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  async find(name: string): Promise<GroupRecord | undefined> {
    await this.#catchUp();
    return this.#records.get(name);
  }

  async list(): Promise<readonly GroupRecord[]> {
    await this.#catchUp();
    return [...this.#records.values()];
  }

  /**
   * The group's record; `make` is asked for one when there is none.
   *
   * @throws {CadreError} GROUP_MISMATCH
   */
  async join(
    name: string,
    definition: string,
    make: () => Promise<GroupRecord>,
  ): Promise<GroupRecord> {
    const known = await this.find(name);
    if (known) {
      if (this.#disputed.has(name)) await this.#write(name, known);
      return assertSame(known, definition);
    }
    const made = await make();
    await this.#write(name, made);
    const first = (await this.find(name)) ?? made;
    if (first.incarnation !== made.incarnation) await this.#write(name, first);
    return assertSame(first, definition);
  }

  async remove(name: string): Promise<void> {
    await this.#write(name, undefined);
    await this.#catchUp();
  }

  async #write(name: string, record: GroupRecord | undefined): Promise<void> {
    await this.#session.producer.send({
      ...this.#place,
      key: name,
      value: record && Buffer.from(JSON.stringify(record)),
      headers: { "content-type": "application/json" },
    });
  }

  get #place(): Partition {
    return { topic: internalTopic(this.#session.settings, "groups"), partition: 0 };
  }

  /** Reads to what is the end now. One reading that began earlier may not see it: a second does. */
  #catchUp(): Promise<void> {
    if (!this.#reading) {
      this.#reading = this.#read().finally(() => (this.#reading = undefined));
      return this.#reading;
    }
    this.#again ??= this.#reading
      .catch(() => {}) // its caller is told
      .then(() => {
        this.#again = undefined;
        return this.#catchUp();
      });
    return this.#again;
  }

  async #read(): Promise<void> {
    const { cluster } = this.#session;
    const place = this.#place;
    const end = (await offsetsAt(cluster, [place], "end")).get(nameOf(place))!;
    for await (const page of readRange(cluster, place, this.#next, end)) {
      for (const record of page) this.#fold(record);
    }
    this.#next = Math.max(this.#next, end);
  }

  #fold({ key, value }: LogRecord): void {
    const name = String(key ?? "");
    this.#disputed.delete(name);
    if (value === null || value.length === 0) {
      this.#records.delete(name);
      return;
    }
    const record = decode(value);
    const first = this.#records.get(name);
    if (!first) this.#records.set(name, record);
    else if (first.incarnation !== record.incarnation) this.#disputed.add(name);
  }
}

function decode(value: Buffer): GroupRecord {
  return JSON.parse(String(value)) as GroupRecord; // written by `#write`
}

function assertSame(record: GroupRecord, definition: string): GroupRecord {
  if (record.definition === definition) return record;
  const { name, definition: expected } = record;
  const message =
    `Group "${name}" is defined as ${expected}, and this member says ${definition}. ` +
    "Give all members one definition, use another group name, or forget this group, and what " +
    `it had not handled, with: cadre groups delete ${name} --yes`;
  throw new CadreError("GROUP_MISMATCH", message, { group: name, expected, actual: definition });
}
