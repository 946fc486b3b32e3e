/**
 * What is said of events that break the rules: the first of a burst at once, and what the rest of
 * it came to when the burst is over. Whoever floods a bus with forgeries must not fill the log.
 */
import type { Clock } from "../../core/clock.ts";
import type { KeyVerdict } from "./key-ring.ts";

/** Why an event was not let through, or would not have been. */
export type ViolationRule =
  | "unsigned"
  | "malformed_signature"
  | "altered"
  | "forged"
  | "unknown_signer"
  | "key_not_yet_valid"
  | "key_expired"
  | "key_revoked"
  | "stale"
  | "replayed"
  | "forbidden"
  | "foreign_tenant";

/** What a verdict on a key comes to. */
export const keyFaults: Readonly<Record<Exclude<KeyVerdict, "trusted">, ViolationRule>> = {
  forged: "forged",
  unknown: "unknown_signer",
  not_yet_valid: "key_not_yet_valid",
  expired: "key_expired",
  revoked: "key_revoked",
};

export interface Violation {
  /** Whose name the event bears. */
  readonly agent: string;
  readonly rule: ViolationRule;
  readonly severity: "warning" | "error";
  readonly evidence: {
    readonly eventId: string;
    readonly type: string;
    readonly source: string;
    readonly signer?: string;
    /** Others of the same kind since the last one that was said. */
    readonly more?: number;
    /** Whether the event was kept away. */
    readonly rejected: boolean;
  };
}

interface Burst {
  until: number;
  more: number;
}

const burstMs = 60_000; // one report a minute for each source and rule
const maxBursts = 1_000; // sources are what a forger likes to write

export class ViolationLog {
  readonly #clock: Clock;
  readonly #say: (violation: Violation) => void;
  readonly #bursts = new Map<string, Burst>();
  /** All, whether they were said or not. */
  count = 0;

  constructor(clock: Clock, say: (violation: Violation) => void) {
    this.#clock = clock;
    this.#say = say;
  }

  report(violation: Violation): void {
    this.count += 1;
    const now = this.#clock.monotonic();
    const key = this.#keyOf(violation);
    const burst = this.#bursts.get(key);
    if (burst && burst.until > now) {
      burst.more += 1;
      return;
    }
    this.#bursts.delete(key);
    this.#bursts.set(key, { until: now + burstMs, more: 0 });
    const { evidence } = violation;
    const more = burst?.more ?? 0;
    this.#say(more === 0 ? violation : { ...violation, evidence: { ...evidence, more } });
  }

  /** Beyond the bound all names are one: a flood of invented sources is one burst. */
  #keyOf({ rule, agent }: Violation): string {
    const key = `${rule}/${agent}`;
    if (this.#bursts.has(key) || this.#bursts.size < maxBursts) return key;
    const now = this.#clock.monotonic();
    for (const [old, { until }] of this.#bursts) if (until <= now) this.#bursts.delete(old);
    return this.#bursts.size < maxBursts ? key : `${rule}/*`;
  }
}
