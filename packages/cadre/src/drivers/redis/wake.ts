/**
 * Word of what changes on the bus, on a connection of its own: it alone waits at the server.
 *
 *   start ─▶ wait for an entry of the wake stream ─▶ tell ─▶ wait …
 *                └─ connection broke ─▶ pause ─▶ tell everybody ─┘
 *
 * Word only wakes; whoever polls finds whatever there is, told or not.
 */
import type { RedisClientLike } from "./client.ts";
import type { Session } from "./session.ts";

/** What changed: a domain has a new event, a group has something to hand out. */
export interface Change {
  readonly domain?: string;
  readonly group?: string;
  /** Id of the domain's newest event, where it is known. */
  readonly place?: string;
}

type Entry = readonly [id: string, fields: readonly string[]];
type Listener = (change: Change | undefined) => void;

const waitMs = 2_000; // at the server; shorter than a dead connection takes to be noticed
const againMs = 200;
const mostTold = 512;

export class Wake {
  readonly #session: Session;
  readonly #listeners = new Set<Listener>();
  readonly #closer = new AbortController();
  #client: RedisClientLike | undefined;
  #starting: Promise<void> | undefined;
  #last = "0-0";
  #goOn: (() => void) | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** When it resolves, all that changes later is told. */
  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** Nothing is told instead of a change: anything may have happened. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    this.#goOn?.();
    return () => this.#listeners.delete(listener);
  }

  /** An event is on its way to `domain`, before all that is asked from now on. */
  tellOf(domain: string): void {
    this.#tellAll({ domain });
  }

  close(): void {
    this.#closer.abort();
    this.#goOn?.();
    this.#client?.disconnect();
    this.#listeners.clear();
  }

  async #start(): Promise<void> {
    const key = this.#session.key("wake");
    const newest = await this.#session.command("XREVRANGE", key, "+", "-", "COUNT", 1);
    const entry = (newest as [string, string[]][])[0];
    this.#last = entry?.[0] ?? "0-0";
    if (this.#closer.signal.aborted) return;
    const client = this.#session.duplicate();
    this.#client = client;
    client.on("error", () => {}); // the next read fails, and says so
    if (client.status === "wait") await client.connect();
    void this.#watch(client, key);
  }

  async #watch(client: RedisClientLike, key: string): Promise<void> {
    const { clock, logger } = this.#session.settings;
    const { signal } = this.#closer;
    while (!signal.aborted) {
      // What came meanwhile is told then: the server is not asked for nobody.
      if (this.#listeners.size === 0) await new Promise<void>((go) => (this.#goOn = go));
      if (signal.aborted) return;
      try {
        const args = ["BLOCK", waitMs, "COUNT", mostTold, "STREAMS", key, this.#last];
        const answer = await client.call("XREAD", args);
        if (answer !== null) this.#tell(entriesOf(answer));
      } catch (error) {
        if (signal.aborted) return;
        logger.debug("The connection that waits at the Redis server broke.", { error });
        await clock.sleep(againMs, signal).catch(() => {});
        this.#tellAll(undefined);
      }
    }
  }

  #tell(entries: readonly Entry[]): void {
    const newest = new Map<string, Change>();
    for (const [id, [kind = "", name = "", , place]] of entries) {
      this.#last = id;
      const change = kind === "d" ? { domain: name } : { group: name };
      newest.set(kind + name, place === undefined ? change : { ...change, place });
    }
    for (const change of newest.values()) this.#tellAll(change);
  }

  #tellAll(change: Change | undefined): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}

/** Of the one stream: a list of pairs, a flat list, or an object, as the client's protocol is. */
function entriesOf(answer: unknown): readonly Entry[] {
  if (!Array.isArray(answer)) return Object.values(answer as Record<string, Entry[]>)[0] ?? [];
  const [first, second] = answer as [[string, Entry[]]] | [string, Entry[]];
  return typeof first === "string" ? (second ?? []) : first[1];
}
