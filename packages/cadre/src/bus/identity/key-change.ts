/** What changes of keys say, as far as it can be read: no schema has looked at them before. */
import type { AgentEvent } from "../../core/event.ts";

export const rotatedType = "identity.rotated";
export const revokedType = "identity.revoked";

export interface KeyRotated {
  readonly agent: string;
  readonly from: string;
  readonly to: string;
  readonly at: number;
  readonly until: number;
}

export interface KeyRevoked {
  readonly agent: string;
  readonly did: string;
  readonly at: number;
}

/** Undefined for any other event, and for one in which something is missing or impossible. */
export function readKeyChange({ type, payload }: AgentEvent): KeyRotated | KeyRevoked | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  const { agent, from, to, did, at, until } = payload as Readonly<Record<string, unknown>>;
  if (!isText(agent) || !isInstant(at)) return undefined;
  if (type === rotatedType && isText(from) && isText(to) && isInstant(until)) {
    return { agent, from, to, at, until };
  }
  return type === revokedType && isText(did) ? { agent, did, at } : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isInstant(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
