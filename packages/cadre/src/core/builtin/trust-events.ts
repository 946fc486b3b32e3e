/** How far an agent is trusted, from what was seen of it. */
import {
  anyJson,
  fact,
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

export type TrustEvents = {
  "score.updated": ScoreUpdated;
  "violation.detected": ViolationDetected;
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
};
