/**
 * Tells those who wait that the file has changed: at once when a connection of this process changed
 * it, by polling SQLite's change counter when another process did. Nothing is polled while nobody
 * waits.
 */
import type { Clock } from "../../core/clock.ts";
import type { Connection } from "./connection.ts";

type Listener = () => void;

/** All connections of this process, by file. */
const connections = new Map<string, Set<Wake>>();

export class Wake {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #listeners = new Set<{ readonly wake: Listener; readonly keepsAlive: boolean }>();
  #dataVersion: number;
  #cancelPoll: (() => void) | undefined;
  #merged = false;

  constructor(connection: Connection, clock: Clock, pollMs: number) {
    this.#connection = connection;
    this.#clock = clock;
    this.#pollMs = pollMs;
    this.#dataVersion = connection.dataVersion();
    const peers = connections.get(connection.path) ?? new Set();
    connections.set(connection.path, peers.add(this));
  }

  /**
   * Calls `wake` soon after a change. Calls of one turn are merged. Returns the end of it. Who
   * `keepsAlive` keeps the process alive while it listens, as a socket does.
   */
  listen(
    wake: Listener,
    { keepsAlive = false }: { readonly keepsAlive?: boolean } = {},
  ): () => void {
    // an object of its own, so that one function may listen twice
    const entry = { wake, keepsAlive };
    this.#listeners.add(entry);
    if (keepsAlive && this.#cancelPoll) this.#armPoll();
    // What another process changed while nobody listened is no news to who starts now.
    if (this.#cancelPoll === undefined && this.#connection.isOpen) {
      this.#dataVersion = this.#connection.dataVersion();
      this.#armPoll();
    }
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) this.#stopPoll();
      else if (keepsAlive && this.#cancelPoll) this.#armPoll();
    };
  }

  /** After a commit of this connection. */
  announce(): void {
    for (const peer of connections.get(this.#connection.path) ?? []) peer.#ring();
  }

  close(): void {
    this.#listeners.clear();
    this.#stopPoll();
    const peers = connections.get(this.#connection.path);
    peers?.delete(this);
    if (peers?.size === 0) connections.delete(this.#connection.path);
  }

  #ring(): void {
    if (this.#merged || this.#listeners.size === 0) return;
    this.#merged = true;
    // After the commit's own answers: a listener never runs inside a writer.
    queueMicrotask(() => {
      this.#merged = false;
      for (const { wake } of this.#listeners) wake();
    });
  }

  #armPoll(): void {
    this.#stopPoll();
    const background = ![...this.#listeners].some(({ keepsAlive }) => keepsAlive);
    this.#cancelPoll = this.#clock.after(this.#pollMs, () => this.#poll(), { background });
  }

  #stopPoll(): void {
    this.#cancelPoll?.();
    this.#cancelPoll = undefined;
  }

  #poll(): void {
    this.#cancelPoll = undefined;
    if (this.#listeners.size === 0 || !this.#connection.isOpen) return;
    const dataVersion = this.#connection.dataVersion();
    if (dataVersion !== this.#dataVersion) {
      this.#dataVersion = dataVersion;
      this.#ring();
    }
    this.#armPoll();
  }
}
