/**
 * Wakes those who wait for a commit.
 *
 *   own commit ───────────────────────────▶ wake
 *   NOTIFY of another connection ─────────▶ wake       (soon, and it may get lost)
 *   every `pollMs`: has anything changed? ─▶ wake       (decides)
 *
 * It listens on a connection of its own, and only while somebody waits. A connection that is lost
 * is opened again; what happened meanwhile, looking finds.
 */
import type { PostgresNotification } from "./client.ts";
import { mergeNews, type CommitNews } from "./commit-news.ts";
import type { Connection, Kept } from "./connection.ts";
import { appendLock } from "./locks.ts";
import { channelOf } from "./log-turn.ts";

const firstPauseMs = 50;
const mostPauseMs = 5_000;

export class Wake {
  readonly #connection: Connection;
  readonly #watchers = new Set<{ readonly wake: (news: CommitNews) => void }>();
  /** Of this turn: those who wait are woken when its promises have been handed out. */
  #news: CommitNews | undefined;
  readonly #noticed = new Set<(notice: string) => void>();
  readonly #channel: string;
  readonly #look: string;
  #listening = 0;
  #kept: Kept | undefined;
  #opening: Promise<void> | undefined;
  #cancelPoll: (() => void) | undefined;
  /** What the last look saw; a number that a commit may still be about to show. */
  #seen: { readonly changes: string; readonly settled: boolean } | undefined;
  #closed = false;

  constructor(connection: Connection) {
    const { schema } = connection.settings;
    this.#connection = connection;
    this.#channel = channelOf(schema);
    // The number goes up before its commit can be seen. Whoever gets the lock afterwards knows that
    // the commit is over.
    this.#look =
      `SELECT last_value, pg_try_advisory_xact_lock_shared(${appendLock(schema)}) ` +
      `FROM ${schema}.changes`;
  }

  /** Calls `wake` soon after a commit, until the returned function is called. */
  listen(wake: (news: CommitNews) => void): () => void {
    const watcher = { wake }; // an object of its own, so that one function may watch twice
    this.#watchers.add(watcher);
    this.#listening += 1;
    if (this.#listening === 1) this.#start();
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#watchers.delete(watcher);
      this.#listening -= 1;
      if (this.#listening === 0) this.#stop();
    };
  }

  /**
   * Also hears what the server says of other things than commits, while somebody listens. A notice
   * may get lost.
   */
  notice(listener: (notice: string) => void): () => void {
    this.#noticed.add(listener);
    return () => this.#noticed.delete(listener);
  }

  /** This connection has committed something. */
  announce(news: CommitNews = {}): void {
    if (this.#news) {
      this.#news = mergeNews(this.#news, news);
      return;
    }
    if (this.#watchers.size === 0) return;
    this.#news = news;
    queueMicrotask(() => {
      const told = this.#news!;
      this.#news = undefined;
      for (const { wake } of this.#watchers) wake(told);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
    this.#stop();
    await this.#opening;
  }

  #start(): void {
    if (this.#closed) return;
    this.#opening ??= this.#keepListening().finally(() => (this.#opening = undefined));
    this.#schedulePoll();
  }

  #stop(): void {
    this.#cancelPoll?.();
    this.#cancelPoll = undefined;
    this.#seen = undefined;
    const kept = this.#kept;
    this.#kept = undefined;
    // A connection that listens is of no use to others.
    kept?.client.release(true);
  }

  get #wanted(): boolean {
    return this.#listening > 0 && !this.#closed && !this.#connection.closed;
  }

  /** Opens the listening connection, again and again until it is there or nobody waits. */
  async #keepListening(): Promise<void> {
    const { clock, random } = this.#connection.settings;
    for (let tried = 1; this.#wanted && !this.#kept; tried += 1) {
      try {
        await this.#openListener();
      } catch {
        // Looking goes on meanwhile; it, and every call, says what is wrong with the server.
        const most = Math.min(mostPauseMs, firstPauseMs * 2 ** (tried - 1));
        const pauseMs = Math.ceil(most * (0.5 + random.next() / 2));
        await clock.sleep(pauseMs, this.#connection.signal).catch(() => {});
      }
    }
  }

  async #openListener(): Promise<void> {
    const kept = await this.#connection.keep();
    const { client, session } = kept;
    const hear = ({ channel, payload }: PostgresNotification): void => {
      if (channel !== this.#channel) return;
      const position = Number(payload ?? "");
      if (!payload) this.announce();
      else if (!Number.isNaN(position)) this.announce({ position });
      else for (const listener of this.#noticed) listener(payload);
    };
    const onError = (): void => {
      if (this.#kept !== kept) return;
      this.#kept = undefined;
      client.release(true);
      if (this.#wanted) this.#start();
    };
    client.on("error", onError);
    client.on("notification", hear);
    try {
      await session.query(`LISTEN ${this.#channel}`);
    } catch (error) {
      client.release(true);
      throw error;
    }
    if (!this.#wanted) {
      client.release(true);
      return;
    }
    this.#kept = kept;
    this.announce(); // for what was written before it listened
  }

  #schedulePoll(): void {
    const { clock, pollMs } = this.#connection.settings;
    this.#cancelPoll ??= clock.after(
      pollMs,
      () => {
        this.#cancelPoll = undefined;
        if (!this.#wanted) return;
        void this.#poll().then(() => {
          if (this.#wanted) this.#schedulePoll();
        });
      },
      { background: true },
    );
  }

  async #poll(): Promise<void> {
    try {
      const [row] = await this.#connection.query(this.#look);
      const now = { changes: String(row?.[0]), settled: row?.[1] === true };
      const before = this.#seen;
      this.#seen = now;
      if (!before || !before.settled || before.changes !== now.changes) this.announce();
    } catch {
      // The server is away: whoever reads is told. What it held by then is new again.
      this.#seen = undefined;
    }
  }
}
