import type { Recorded } from "../../bus/transport.ts";
import type { WireChoice } from "../../core/codec/wire-choice.ts";
import { claimScript } from "./lua-claim.ts";
import type { Session } from "./session.ts";
import { toRecorded } from "./wire.ts";

export interface Claimed {
  readonly reference: string;
  readonly attempt: number;
  readonly recorded: Recorded;
}

export interface Claim {
  readonly claimed: readonly Claimed[];
  /** Milliseconds until time alone makes something due; absent when nothing waits for a time. */
  readonly nextInMs?: number;
  /** Whether there may be more at once. */
  readonly more: boolean;
}

export interface ClaimRequest {
  readonly group: string;
  readonly max: number;
  readonly leaseMs: number;
  readonly token: string;
  /** Whether to look also into streams of which no publish was noted. */
  readonly lookEverywhere: boolean;
  /** Of the bus, when the group was joined. */
  readonly mark: string;
}

/** `gone`: the group was deleted. `flushed`: the whole bus was. */
export async function claim(
  session: Session,
  { group, max, leaseMs, token, lookEverywhere, mark }: ClaimRequest,
): Promise<Claim | "gone" | "flushed"> {
  const args = [group, max, Math.ceil(leaseMs), token, lookEverywhere ? "1" : "0", mark];
  const answer = await session.run(`a claim for group "${group}"`, claimScript, args);
  if (!Array.isArray(answer)) return String(answer) as "gone" | "flushed";
  const [nextInMs, more, ...flat] = answer as [number, number, ...Buffer[]];
  const claimed: Claimed[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    claimed.push(readClaimed(flat[at]!.toString(), flat[at + 1]!, session.settings.wire));
  }
  return { claimed, more: more === 1, ...(nextInMs < 0 ? {} : { nextInMs }) };
}

/** @param head position, attempt and reference */
function readClaimed(head: string, event: Buffer, wire: WireChoice): Claimed {
  const afterPlace = head.indexOf(" ");
  const afterAttempt = head.indexOf(" ", afterPlace + 1);
  return {
    reference: head.slice(afterAttempt + 1),
    attempt: Number(head.slice(afterPlace + 1, afterAttempt)),
    recorded: toRecorded(head.slice(0, afterPlace), event, wire),
  };
}
