/** What `publish` writes: events at the log's end, and deliveries for one group alone. */
import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { priorityRank } from "../../core/event.ts";
import { sameEvent } from "../../store/same-event.ts";
import { state } from "./delivery-row.ts";
import { directedFlag, type EncodedEvent } from "./event-rows.ts";
import { cursorOf, findGroup, type Group } from "./group-table.ts";
import { isLaneTaken } from "./key-lane.ts";
import type { LogTransaction } from "./log-transaction.ts";
import { Lookahead } from "./lookahead.ts";
import { toPosition } from "./recorded.ts";

/** One item of a batch: encoded, or refused before anything was written. */
export type Item =
  | { readonly outgoing: Outgoing; readonly encoded: EncodedEvent }
  | { readonly error: unknown };

export function publishItem(item: Item, transaction: LogTransaction, time: number): PublishResult {
  if ("error" in item) return { ok: false, error: item.error };
  const { outgoing, encoded } = item;
  if (outgoing.to) return direct(outgoing.to, encoded, transaction, time);
  // An id that is there was published before: its publisher lost the answer and asks again.
  const known = transaction.known(encoded.event.id);
  const position = known?.position ?? transaction.append(encoded, undefined, 0);
  return { ok: true, position: toPosition(position) };
}

function direct(
  to: NonNullable<Outgoing["to"]>,
  encoded: EncodedEvent,
  transaction: LogTransaction,
  time: number,
): PublishResult {
  const group = findGroup(transaction.connection, to.group);
  if (!group) {
    const message = `There is no group "${to.group}" to hand an event to.`;
    const details = { what: "group", id: to.group };
    return { ok: false, error: new CadreError("NOT_FOUND", message, details) };
  }
  const { event } = encoded;
  const known = transaction.known(event.id);
  const isAhead = known && known.flags === 0 && willCome(group, known.position, event, transaction);
  const position = known?.position ?? transaction.append(encoded, undefined, directedFlag);
  // Where the log has other content under the id, the delivery carries its own.
  const own = known && !sameEvent(transaction.load(known), event) ? JSON.stringify(event) : null;
  if (!isAhead) {
    transaction.flush();
    new DirectedDelivery(transaction, group, position, time).hand(event, to.attempt ?? 1, own);
  }
  transaction.isNews = true;
  return { ok: true, position: toPosition(position) };
}

/** Whether the group is yet to come to the event by itself. */
function willCome(
  group: Group,
  position: number,
  event: AgentEvent,
  { connection }: LogTransaction,
): boolean {
  const cursor = cursorOf(connection, group.no) ?? 0;
  return position > cursor && new Lookahead(group.patterns, cursor).matches(event.type);
}

/** The rows of one event in one group. */
class DirectedDelivery {
  readonly #transaction: LogTransaction;
  readonly #group: Group;
  readonly #position: number;
  readonly #time: number;

  constructor(transaction: LogTransaction, group: Group, position: number, time: number) {
    this.#transaction = transaction;
    this.#group = group;
    this.#position = position;
    this.#time = time;
  }

  hand(event: AgentEvent, attempt: number, own: string | null): void {
    const rows = this.#transaction.connection
      .sql(
        "SELECT copy, state FROM deliveries WHERE group_no = ? AND position = ? ORDER BY copy DESC",
      )
      .all(this.#group.no, this.#position);
    const waiting = rows.find(([, from]) => from !== state.leased);
    if (!waiting) {
      this.#insert(event, attempt, own, Number(rows[0]?.[0] ?? -1) + 1);
      return;
    }
    const copy = Number(waiting[0]);
    this.#transaction.connection
      .sql("UPDATE deliveries SET event = ? WHERE group_no = ? AND position = ? AND copy = ?")
      .run(own, this.#group.no, this.#position, copy);
    if (waiting[1] === state.parked) this.#unpark(event, attempt, copy);
  }

  #insert(event: AgentEvent, attempt: number, own: string | null, copy: number): void {
    const key = this.#group.ordered ? (event.metadata.key ?? null) : null;
    const { connection } = this.#transaction;
    const [to, due] = this.#place(event, key !== null && isLaneTaken(connection, this.#group, key));
    connection
      .sql(
        `INSERT INTO deliveries
         (group_no, position, copy, state, attempt, due, key, rank, since, event)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        this.#group.no,
        this.#position,
        copy,
        to,
        attempt,
        due,
        key,
        priorityRank(event),
        this.#transaction.now,
        own,
      );
  }

  #unpark(event: AgentEvent, attempt: number, copy: number): void {
    const key = this.#group.ordered === "skip" ? event.metadata.key : undefined;
    const { connection } = this.#transaction;
    const taken = key !== undefined && isLaneTaken(connection, this.#group, key);
    const [to, due] = this.#place(event, taken);
    connection
      .sql(
        `UPDATE deliveries SET state = ?, due = ?, attempt = ?
         WHERE group_no = ? AND position = ? AND copy = ?`,
      )
      .run(to, due, attempt, this.#group.no, this.#position, copy);
  }

  #place(event: AgentEvent, laneTaken: boolean): readonly [number, number | null] {
    const { deliverAt } = event.metadata;
    if (deliverAt !== undefined && deliverAt > this.#time) return [state.scheduled, deliverAt];
    return laneTaken ? [state.blocked, null] : [state.ready, this.#time];
  }
}
