import type { KeyRing, TrustedKeys, TrustLookup } from "./key-ring.ts";

/** How signatures of what comes in are treated. */
export interface SignatureOptions {
  /**
   * `require` lets in only what is signed with a key of its source; `warn` lets in everything and
   * records what is wrong; `off` looks at nothing. @default "require"
   */
  readonly mode?: "off" | "warn" | "require";
  /**
   * Whose keys are whose. This process's own are always among them.
   * @default none beside its own
   */
  readonly trusted?: TrustedKeys | TrustLookup | KeyRing;
  /**
   * What the carrier took so much later than it was made, in milliseconds, is not let in. What is
   * relayed after an outage, and dead letters that are redriven, come late, too. @default any age
   */
  readonly freshMs?: number;
  /** Ids that a broadcast remembers, so that nothing is shown to it twice. @default 10_000 */
  readonly rememberIds?: number;
}
