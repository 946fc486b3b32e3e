/**
 * Settles and renews for all members of one connection: what comes in one turn of the loop is one
 * statement.
 *
 *   settle ─▶ queue ─▶ (end of the turn, and of the statement before) ─▶ one call a lane ─▶ answers
 *
 * A lane is an ordered group, or all groups without order: no call locks two groups.
 */
import type { Settlement } from "../../bus/transport.ts";
import { plainArray } from "./array-literal.ts";
import type { Parameter } from "./client.ts";
import { channelOf } from "./commit-function.ts";
import type { Connection } from "./connection.ts";
import type { OwnedDelivery } from "./delivery-row.ts";
import type { Group } from "./group-table.ts";

type Answer = "ok" | "lost";

interface Item {
  readonly delivery: OwnedDelivery;
  readonly settlement: Settlement | undefined;
  /** Of a renewal. */
  readonly leaseMs: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

const maxItems = 1_000; // in one statement
const longestMs = 9e15; // more is beyond what the server's numbers hold

export class SettleDesk {
  readonly #connection: Connection;
  readonly #owner: number;
  readonly #lanes = new Map<string, Lane>();

  constructor(connection: Connection, owner: number) {
    this.#connection = connection;
    this.#owner = owner;
  }

  settle(group: Group, delivery: OwnedDelivery, settlement: Settlement): Promise<Answer> {
    const name = group.ordered ? `settle ${group.no}` : "settle";
    return this.#push(name, { delivery, settlement, leaseMs: 0 });
  }

  extend(delivery: OwnedDelivery, leaseMs: number): Promise<Answer> {
    return this.#push("extend", { delivery, settlement: undefined, leaseMs });
  }

  /** Resolves when what was asked for is answered. */
  async close(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.idle()));
  }

  #push(name: string, item: Omit<Item, "resolve" | "reject">): Promise<Answer> {
    let lane = this.#lanes.get(name);
    if (!lane) {
      const send = (items: readonly Item[]): Promise<ReadonlySet<number>> => this.#send(items);
      const end = (): void => void this.#lanes.delete(name);
      lane = new Lane(() => this.#connection.settings.clock.yield(), send, end);
      this.#lanes.set(name, lane);
    }
    return lane.push(item);
  }

  /** The places of the items that were the owner's. */
  async #send(items: readonly Item[]): Promise<ReadonlySet<number>> {
    const { schema } = this.#connection.settings;
    const deliveries = items.map(({ delivery }) => delivery);
    const shared: Parameter[] = [
      this.#owner,
      plainArray(deliveries.map(({ group }) => group)),
      plainArray(deliveries.map(({ position }) => position)),
      plainArray(deliveries.map(({ copy }) => copy)),
      plainArray(deliveries.map(({ token }) => token)),
    ];
    const rows = items[0]?.settlement
      ? await this.#connection.query(
          `SELECT item FROM ${schema}.settle($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
          [...shared, ...settlements(items), channelOf(schema)],
          `cadre_settle_${schema}`,
        )
      : await this.#connection.query(
          `SELECT item FROM ${schema}.extend($1, $2, $3, $4, $5, $6)`,
          [...shared, plainArray(items.map(({ leaseMs }) => whole(leaseMs)))],
          `cadre_extend_${schema}`,
        );
    return new Set(rows.map(([item]) => Number(item) - 1));
  }
}

/** Kinds, delays, and whether the answer need not wait for the disk. */
function settlements(items: readonly Item[]): readonly Parameter[] {
  const kinds = items.map(({ settlement }) => settlement?.kind ?? "ack");
  const delays = items.map(({ settlement }) =>
    settlement?.kind === "retry" ? whole(settlement.delayMs) : 0,
  );
  return [plainArray(kinds), plainArray(delays), !kinds.includes("park")];
}

function whole(ms: number): number {
  return Math.ceil(Math.min(longestMs, Math.max(0, ms)));
}

class Lane {
  readonly #turn: () => Promise<void>;
  readonly #send: (items: readonly Item[]) => Promise<ReadonlySet<number>>;
  readonly #end: () => void;
  #queue: Item[] = [];
  #running: Promise<void> | undefined;

  constructor(
    turn: () => Promise<void>,
    send: (items: readonly Item[]) => Promise<ReadonlySet<number>>,
    end: () => void,
  ) {
    this.#turn = turn;
    this.#send = send;
    this.#end = end;
  }

  push(item: Omit<Item, "resolve" | "reject">): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...item, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.#turn();
      const items = this.#queue.splice(0, maxItems);
      try {
        const done = await this.#send(items);
        for (const [index, item] of items.entries()) item.resolve(done.has(index) ? "ok" : "lost");
      } catch (error) {
        for (const item of items) item.reject(error);
      }
    }
    this.#running = undefined;
    this.#end();
  }
}
