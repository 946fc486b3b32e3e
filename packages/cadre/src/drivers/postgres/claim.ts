import type { Recorded } from "../../bus/transport.ts";
import type { Row } from "./client.ts";
import type { Connection } from "./connection.ts";
import type { OwnedDelivery } from "./delivery-row.ts";
import { overriding, missing, toRecorded } from "./recorded.ts";

/** What a member asks for. */
export interface ClaimRequest {
  readonly group: number;
  readonly max: number;
  readonly leaseMs: number;
  readonly owner: number;
  readonly token: number;
}

export interface Claimed {
  readonly delivery: OwnedDelivery;
  readonly attempt: number;
  readonly recorded: Recorded;
  /** Whether its event is marked as handled by the group; undefined when the log has lost it. */
  readonly isMarked: boolean | undefined;
}

export interface Claim {
  readonly claimed: readonly Claimed[];
  /** Nothing in the log up to here waits for its claim. */
  readonly reached: number;
  /** Whether there is more of the log to look at. */
  readonly more: boolean;
  /** In so many milliseconds the next row falls due, or the next lease ends; negative for now. */
  readonly nextInMs: number;
}

const columns = 8; // before those of the event

/** Takes up to `max` deliveries, in one statement. `undefined` when the group is gone. */
export async function claim(
  connection: Connection,
  request: ClaimRequest,
): Promise<Claim | undefined> {
  const { schema } = connection.settings;
  const { group, max, leaseMs, owner, token } = request;
  // What was lost with its answer is free again when its lease has ended.
  const [first, ...taken] = await connection.query(
    `SELECT * FROM ${schema}.claim($1, $2, $3, $4, $5)`,
    [group, max, Math.ceil(leaseMs), owner, token],
    `cadre_claim_${schema}`,
  );
  if (!first) return undefined;
  return {
    claimed: taken.map((row) => toClaimed(row, group, token)),
    reached: Number(first[0]),
    more: first[2] === true,
    nextInMs: first[1] === null ? Infinity : Number(first[1]),
  };
}

function toClaimed(row: Row, group: number, token: number): Claimed {
  const position = Number(row[3]);
  const own = row[6];
  const event = row.slice(columns);
  const recorded = event[0] === null ? missing(position) : toRecorded(event);
  return {
    delivery: { group, position, copy: Number(row[4]), token },
    attempt: Number(row[5]),
    recorded: typeof own === "string" ? overriding(recorded, own) : recorded,
    isMarked: event[0] === null ? undefined : row[7] === true,
  };
}
