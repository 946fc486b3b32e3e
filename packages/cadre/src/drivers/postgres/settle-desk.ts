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
import { channelOf } from "./log-turn.ts";
import type { Connection } from "./connection.ts";
import type { OwnedDelivery } from "./delivery-row.ts";
import type { Group } from "./group-table.ts";
import { Lane } from "./lane.ts";

type Answer = "ok" | "lost";

interface Item {
  readonly delivery: OwnedDelivery;
  readonly settlement: Settlement | undefined;
  /** Of a renewal. */
  readonly leaseMs: number;
}

const longestMs = 9e15; // more is beyond what the server's numbers hold

export class SettleDesk {
  readonly #connection: Connection;
  readonly #owner: number;
  readonly #lanes = new Map<string, Lane<Item, Answer>>();

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

  #push(name: string, item: Item): Promise<Answer> {
    let lane = this.#lanes.get(name);
    if (!lane) {
      const end = (): void => void this.#lanes.delete(name);
      const { clock } = this.#connection.settings;
      lane = new Lane(
        () => clock.yield(),
        (items) => this.#send(items),
        end,
      );
      this.#lanes.set(name, lane);
    }
    return lane.push(item);
  }

  async #send(items: readonly Item[]): Promise<readonly Answer[]> {
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
    const done = new Set(rows.map(([item]) => Number(item) - 1));
    return items.map((_, index) => (done.has(index) ? "ok" : "lost"));
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
