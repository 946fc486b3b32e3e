/** How far an agent is trusted, from what was seen of it. */
import {
  anyJson,
  fact,
  instant,
  number,
  oneOf,
  optional,
  share,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

export interface ScoreUpdated {
  readonly agent: string;
  readonly capability?: string;
  /** 0 to 1. */
  readonly score: number;
  readonly previous?: number;
  /** Weight of the good verdicts and of the bad ones. */
  readonly alpha?: number;
  readonly beta?: number;
  readonly reason?: string;
}

export interface ViolationDetected {
  readonly agent: string;
  readonly rule: string;
  readonly severity?: "warning" | "error" | "critical";
  readonly evidence?: unknown;
  readonly detectedBy?: string;
}

/** Signed by the key that is given up. Both count between `at` and `until`. */
export interface IdentityRotated {
  readonly agent: string;
  /** DIDs. */
  readonly from: string;
  readonly to: string;
  /** Unix milliseconds: the new key counts from here. */
  readonly at: number;
  /** And the old one to here. */
  readonly until: number;
}

export interface IdentityRevoked {
  readonly agent: string;
  readonly did: string;
  /** Unix milliseconds: nothing of it counts from here. */
  readonly at: number;
  readonly reason?: string;
}

export type TrustEvents = {
  "score.updated": ScoreUpdated;
  "violation.detected": ViolationDetected;
  "identity.rotated": IdentityRotated;
  "identity.revoked": IdentityRevoked;
};

export const trustEvents: BuiltinFamily<TrustEvents> = {
  "score.updated": fact("An agent's trust score has changed.", {
    agent: word,
    capability: optional(word),
    score: share,
    previous: optional(share),
    alpha: optional(number),
    beta: optional(number),
    reason: optional(text),
  }),
  "violation.detected": fact("An agent broke a rule.", {
    agent: word,
    rule: word,
    severity: optional(oneOf("warning", "error", "critical")),
    evidence: optional(anyJson),
    detectedBy: optional(word),
  }),
  "identity.rotated": fact("An agent signs with another key from now on.", {
    agent: word,
    from: word,
    to: word,
    at: instant,
    until: instant,
  }),
  "identity.revoked": fact("A key counts for nothing any more.", {
    agent: word,
    did: word,
    at: instant,
    reason: optional(text),
  }),
};
