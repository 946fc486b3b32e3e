/**
 * One delivery of one event to one group, as a row. An event has no row in a group before the
 * group's cursor has passed it, and none after it was acked.
 *
 *   (cursor passes) ──▶ 1 leased ──ack──────▶ (row gone)
 *        │               │  ▲ └──retry────▶ 4 retrying ──due──▶ leased, attempt + 1
 *        │               │  └────release──▶ 0 ready ──▶ leased
 *        │               ├─────────park───▶ 2 parked ──directed publish──▶ ready
 *        │               └─────────due: the lease is over ──▶ leased by another, attempt + 1
 *        ├──▶ 0 ready      for its turn by priority
 *        ├──▶ 3 scheduled  until its deliverAt
 *        └──▶ 5 blocked    behind an earlier event of its key
 *
 * A lease acts only while the row is leased under its owner and token: no two claims ever have both
 * in common, also when the server lost the last ones in a crash. `due` is when the row may be
 * taken, by the server's clock; a lease's is its end. It is NULL while the row may not be taken.
 */

/** A delivery in its owner's hands. */
export interface OwnedDelivery {
  readonly group: number;
  readonly position: number;
  /** 0, but for an event that was directed to the group while a member had it. */
  readonly copy: number;
  /** Of the claim. */
  readonly token: number;
}
