/**
 * Acks what was handled and wrote nothing but its mark, for all members of one connection: what
 * comes in one turn of the loop is one statement, which the log's writers do not wait for.
 *
 *   ack ─▶ queue ─▶ (end of the turn, and of the statement before) ─▶ ack() ─▶ done, or not
 */
import type { InboxMark } from "../../core/commit.ts";
import { CadreError } from "../../core/errors.ts";
import { plainArray, textArray } from "./array-literal.ts";
import type { Connection } from "./connection.ts";
import type { OwnedDelivery } from "./delivery-row.ts";
import { packId } from "./event-rows.ts";
import { Lane } from "./lane.ts";
import { isUniqueViolation } from "./postgres-error.ts";
import { toStoredText } from "./stored-text.ts";

interface Item {
  readonly delivery: OwnedDelivery;
  readonly mark: InboxMark | undefined;
}

export class AckDesk {
  readonly #connection: Connection;
  readonly #owner: number;
  readonly #writer: string;
  readonly #lane: Lane<Item, boolean>;
  #batches = 0;

  constructor(connection: Connection, owner: number) {
    const { clock, random } = connection.settings;
    this.#connection = connection;
    this.#owner = owner;
    this.#writer = random.id(clock.now());
    this.#lane = new Lane(
      () => clock.yield(),
      (items) => this.#send(items),
    );
  }

  /** False when nothing was written: then the log's writer is to be asked, which says why. */
  ack(delivery: OwnedDelivery, mark: InboxMark | undefined): Promise<boolean> {
    return this.#lane.push({ delivery, mark });
  }

  /** Resolves when what was asked for is answered. */
  async close(): Promise<void> {
    await this.#lane.idle();
  }

  async #send(items: readonly Item[]): Promise<readonly boolean[]> {
    const { schema, durability } = this.#connection.settings;
    this.#batches += 1;
    const names = items.map(({ mark }) => (mark ? toStoredText(mark.subscription) : null));
    const values = [
      this.#owner,
      plainArray(items.map(({ delivery }) => delivery.group)),
      plainArray(items.map(({ delivery }) => delivery.position)),
      plainArray(items.map(({ delivery }) => delivery.copy)),
      plainArray(items.map(({ delivery }) => delivery.token)),
      textArray(names),
      plainArray(items.map(({ mark }) => (mark ? packId(mark.eventId) : null))),
      durability === "disk",
      this.#writer,
      this.#batches,
    ];
    try {
      const answer = await this.#connection.value(
        `SELECT ${schema}.ack($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
        values,
        `cadre_ack_${schema}`,
      );
      const left = new Set(JSON.parse(String(answer)) as readonly number[]); // our own function's
      return items.map((_, index) => !left.has(index + 1));
    } catch (error) {
      if (error instanceof CadreError && isUniqueViolation(error.cause)) {
        return items.map(() => false);
      }
      throw error;
    }
  }
}
