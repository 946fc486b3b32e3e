/**
 * One delivery of one event to one group, as a row. An event has no row in a group before the
 * group's cursor has passed it, and none after it was acked.
 *
 *   (cursor passes) ──▶ leased ──ack──────▶ (row gone)
 *        │               │  ▲ └──retry────▶ retrying ──due──▶ leased, attempt + 1
 *        │               │  └────release──▶ ready ──▶ leased
 *        │               └─────────park───▶ parked ──directed publish──▶ ready
 *        ├──▶ ready        for its turn by priority
 *        ├──▶ scheduled    until its deliverAt
 *        └──▶ blocked      behind an earlier event of its key
 *
 * A lease acts only while the row is leased under its token, which no other lease ever has. `due`
 * is set exactly while the row may be taken from that instant on.
 */
export const state = {
  ready: 0,
  leased: 1,
  parked: 2,
  scheduled: 3,
  retrying: 4,
  blocked: 5,
} as const;

/** Names one row. */
export interface DeliveryKey {
  readonly group: number;
  readonly position: number;
  /** 0, but for an event that was directed to the group while a member had it. */
  readonly copy: number;
}

// the head start that one step of priority is worth: so long can `low` be held up by `normal`
const agingMs = 10_000;

/** What is handed out first has the smallest. */
export function turnOf(since: number, rank: number): number {
  return since - rank * agingMs;
}

export const normalRank = 1;

// a member that takes a thousand events a second lasts twelve days; then it takes a new number
const tokensPerMember = 2 ** 30;

/** The token of a member's `count`th lease. */
export function leaseToken(member: number, count: number): number {
  return member * tokensPerMember + (count % tokensPerMember);
}

export function memberOfToken(token: number): number {
  return Math.floor(token / tokensPerMember);
}

/** The smallest and the largest token of a member. */
export function tokensOf(member: number): readonly [number, number] {
  return [member * tokensPerMember, (member + 1) * tokensPerMember - 1];
}
