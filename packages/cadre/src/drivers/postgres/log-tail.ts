import type { Connection } from "./connection.ts";

/** What routing needs to know of an event. */
export interface TailRow {
  readonly position: number;
  readonly type: string;
  readonly deliverAt: number | null;
  /** Whether subscriptions see it at all. */
  readonly isPublic: boolean;
}

export interface TailPage {
  /** In the order of the log; `pageRows` of them when there may be more. */
  readonly rows: readonly TailRow[];
  /** Unix milliseconds by the server's clock. */
  readonly serverNow: number;
}

export const pageRows = 1_024;

/**
 * The log, page by page, for all who read its end on one connection: those who stand at the same
 * place, as all do who have caught up, share one statement.
 */
export class LogTail {
  readonly #connection: Connection;
  readonly #pages = new Map<number, Promise<TailPage>>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  page(after: number): Promise<TailPage> {
    let page = this.#pages.get(after);
    if (!page) {
      // Asked for at the turn's end: whoever asks before it is told what is there by then.
      page = this.#connection.settings.clock.yield().then(() => {
        this.#pages.delete(after);
        return this.#read(after);
      });
      this.#pages.set(after, page);
    }
    return page;
  }

  async #read(after: number): Promise<TailPage> {
    const { schema } = this.#connection.settings;
    const rows = await this.#connection.query(
      `SELECT ${schema}.now_ms(), position, type, deliver_at, flags FROM (
         SELECT position, type, deliver_at, flags FROM ${schema}.events
         WHERE position > $1 ORDER BY position LIMIT ${pageRows}
       ) page ORDER BY position`,
      [after],
      `cadre_tail_${schema}`,
    );
    return {
      rows: rows.map(([, position, type, deliverAt, flags]) => ({
        position: Number(position),
        type: String(type),
        deliverAt: deliverAt === null ? null : Number(deliverAt),
        isPublic: Number(flags ?? 0) === 0,
      })),
      serverNow: Number(rows[0]?.[0] ?? 0),
    };
  }
}
