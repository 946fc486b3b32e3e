/**
 * Group commit: whatever is asked for while a batch is under way goes out together in the next.
 *
 *   request ─▶ queue ─▶ (the turn's end, or the last answer) ─▶ commit_batch ─▶ answers
 *                          ▲                                        │ lost: the same batch again
 *                          └────────────────────────────────────────┘
 *
 * One batch is under way at a time, so that requests are written in the order in which they came. A
 * batch that comes again is recognised by its events' ids, or by its number where it has requests
 * without events.
 */
import { CadreError } from "../../core/errors.ts";
import { appendCall } from "./append-function.ts";
import type { Parameter } from "./client.ts";
import { CommitBatch } from "./commit-batch.ts";
import { commitCall } from "./commit-function.ts";
import type { CommitNews } from "./commit-news.ts";
import type { Connection } from "./connection.ts";
import { closedError, isUniqueViolation } from "./postgres-error.ts";
import { eventsOf, type WriteOutcome, type WriteRequest } from "./write-request.ts";

const maxEvents = 1_024; // in one batch: some 20 ms of the server's time
const maxRequests = 1_024;
const maxBytes = 8 * 1024 * 1024;
// microtasks that a lone request waits, for those that the same turn is about to make
const quietHops = 3;

interface Queued {
  readonly request: WriteRequest;
  readonly events: number;
  readonly bytes: number;
  readonly resolve: (outcome: WriteOutcome) => void;
  readonly reject: (error: unknown) => void;
}

export class Writer {
  readonly #connection: Connection;
  readonly #onCommit: (news: CommitNews) => void;
  readonly #statements: Readonly<Record<"append" | "commit", readonly [string, string]>>;
  readonly #id: string;
  #batches = 0;
  #queue: Queued[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  /** @param onCommit called after each batch, before its answers are given */
  constructor(connection: Connection, onCommit: (news: CommitNews) => void) {
    const { schema, random, clock } = connection.settings;
    this.#connection = connection;
    this.#onCommit = onCommit;
    this.#statements = {
      append: [appendCall(schema), `cadre_append_${schema}`],
      commit: [commitCall(schema), `cadre_commit_${schema}`],
    };
    this.#id = random.id(clock.now());
  }

  /** @throws {CadreError} VERSION_CONFLICT, STORE_…, UNREACHABLE, CLOSED */
  write(request: WriteRequest): Promise<WriteOutcome> {
    if (this.#closed) return Promise.reject(closedError(this.#connection.shown));
    const events = eventsOf(request);
    const bytes = events.reduce((sum, event) => sum + event.bytes, 0);
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, events: events.length, bytes, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Refuses new requests and resolves when those that were taken are answered. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let hop = 0; hop < quietHops; hop += 1) await Promise.resolve();
    while (this.#queue.length > 0) await this.#write(this.#takeBatch());
    this.#running = undefined;
  }

  #takeBatch(): readonly Queued[] {
    let events = 0;
    let bytes = 0;
    let count = 0;
    for (const queued of this.#queue) {
      events += queued.events;
      bytes += queued.bytes;
      if (count > 0 && (events > maxEvents || bytes > maxBytes || count === maxRequests)) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #write(taken: readonly Queued[]): Promise<void> {
    const batch = new CommitBatch();
    const waiting: Queued[] = [];
    const written: Queued[] = [];
    for (const queued of taken) {
      // Whoever comes after one that must wait, waits too: the order stays.
      const fits = waiting.length === 0 && batch.add(queued.request);
      (fits ? written : waiting).push(queued);
    }
    await this.#send(batch, written);
    if (waiting.length > 0) await this.#write(waiting);
  }

  async #send(batch: CommitBatch, written: readonly Queued[]): Promise<void> {
    let answer: string;
    try {
      answer = await this.#call(batch);
    } catch (error) {
      await this.#refuse(written, error);
      return;
    }
    const outcomes = batch.outcomes(answer);
    this.#onCommit(batch.news(answer));
    for (const [index, { resolve, reject }] of written.entries()) {
      const outcome = outcomes[index]!;
      if (outcome instanceof CadreError) reject(outcome);
      else resolve(outcome);
    }
  }

  async #call(batch: CommitBatch): Promise<string> {
    const { append, commit } = this.#statements;
    const durable = this.#connection.settings.durability === "disk";
    if (batch.isPlain) {
      try {
        return await this.#ask(append, batch.appendParameters(durable));
      } catch (error) {
        // An id is in the log already: the other function says whose.
        if (!(error instanceof CadreError && isUniqueViolation(error.cause))) throw error;
      }
    }
    this.#batches += 1;
    const memory = batch.mustRemember ? { writer: this.#id, batch: this.#batches } : undefined;
    return this.#ask(commit, batch.parameters(durable, memory));
  }

  async #ask(
    [text, name]: readonly [string, string],
    values: readonly Parameter[],
  ): Promise<string> {
    return String(await this.#connection.value(text, values, name));
  }

  async #refuse(written: readonly Queued[], error: unknown): Promise<void> {
    const isTheirs = error instanceof CadreError && error.code === "STORE_UNAVAILABLE";
    if (written.length === 1 || !isTheirs) {
      for (const { reject } of written) reject(error);
      return;
    }
    // Something that no check foresaw. It fails alone, and the others get their own transactions.
    for (const queued of written) await this.#write([queued]);
  }
}
