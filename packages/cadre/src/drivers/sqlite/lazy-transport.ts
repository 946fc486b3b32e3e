import { resolve } from "node:path";
import type {
  Capabilities,
  ConsumeSpec,
  DeadLetter,
  DeadLetterBox,
  DeadLetterQuery,
  GroupState,
  Intake,
  Lease,
  Outgoing,
  PublishResult,
  ReadQuery,
  Recorded,
  Transport,
} from "../../bus/transport.ts";
import type { DeliveredWork, UnitOfWork } from "../../core/commit.ts";
import { describeError } from "../../core/errors.ts";
import { LogFile, type Settings } from "./sqlite-log.ts";
import { capabilitiesOf, SqliteTransport } from "./sqlite-transport.ts";
import { closedError } from "./writer.ts";

interface Opened {
  readonly file: LogFile;
  readonly transport: SqliteTransport;
}

/** A transport whose file is opened at its first use. */
export class LazyTransport implements Transport {
  readonly name: string = "sqlite";
  readonly capabilities: Capabilities;
  readonly deadLetters: DeadLetterBox;
  readonly unitOfWork: UnitOfWork<Lease>;
  readonly #path: string;
  readonly #settings: Settings;
  #opened: Promise<Opened> | undefined;
  #closed = false;

  constructor(path: string, settings: Settings) {
    this.#path = path;
    this.#settings = settings;
    this.capabilities = capabilitiesOf(settings);
    const open = (): Promise<SqliteTransport> => this.#open();
    this.deadLetters = new LazyDeadLetters(open);
    this.unitOfWork = new LazyUnitOfWork(resolve(path), open);
  }

  async publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return (await this.#open()).publish(batch);
  }

  async open(spec: ConsumeSpec): Promise<Intake> {
    return (await this.#open()).open(spec);
  }

  async *read(query: ReadQuery): AsyncIterable<Recorded> {
    yield* (await this.#open()).read(query);
  }

  async groups(): Promise<readonly GroupState[]> {
    return (await this.#open()).groups();
  }

  async deleteGroup(group: string): Promise<void> {
    return (await this.#open()).deleteGroup(group);
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    try {
      return await (await this.#open()).health();
    } catch (error) {
      return { ok: false, detail: describeError(error).message };
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const opened = this.#opened;
    // What could not be opened has been said to whoever used it, and leaves nothing to close.
    await opened?.then(({ file }) => file.close()).catch(() => {});
  }

  async #open(): Promise<SqliteTransport> {
    if (this.#closed) throw closedError(this.#path);
    if (!this.#opened) {
      const opened = LogFile.open(this.#path, this.#settings).then((file) => ({
        file,
        transport: new SqliteTransport(file),
      }));
      this.#opened = opened;
      // A file that could not be opened is tried again at the next use.
      opened.catch(() => (this.#opened = undefined));
    }
    return (await this.#opened).transport;
  }
}

type Open = () => Promise<SqliteTransport>;

class LazyDeadLetters implements DeadLetterBox {
  readonly #open: Open;

  constructor(open: Open) {
    this.#open = open;
  }

  async put(letter: DeadLetter): Promise<void> {
    return (await this.#open()).deadLetters.put(letter);
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    return (await this.#open()).deadLetters.get(id);
  }

  async *list(query?: DeadLetterQuery): AsyncIterable<DeadLetter> {
    yield* (await this.#open()).deadLetters.list(query);
  }

  async remove(id: string): Promise<boolean> {
    return (await this.#open()).deadLetters.remove(id);
  }
}

class LazyUnitOfWork implements UnitOfWork<Lease> {
  readonly settles: boolean = true;
  readonly log: string;
  readonly #open: Open;

  constructor(path: string, open: Open) {
    this.log = path;
    this.#open = open;
  }

  async commit(work: DeliveredWork<Lease>): Promise<"ok" | "lost"> {
    return (await this.#open()).unitOfWork.commit(work);
  }

  async handled(subscription: string, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
    return (await this.#open()).unitOfWork.handled(subscription, eventIds);
  }
}
