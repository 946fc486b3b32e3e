/** What the supervisor and its workers say to each other. */
import type { CorpusOptions } from "./corpus.ts";

export type WorkerRole = "desk-chief" | "compromise" | "wink";

/** What a worker is started with. */
export interface WorkerOrder {
  readonly name: string;
  readonly role: WorkerRole;
  /** URL of the log. */
  readonly store: string;
  /** URL of the broker that tells the events, where the log does not. */
  readonly bus?: string;
  readonly corpus: CorpusOptions;
}

/** What a worker tells the supervisor. */
export type WorkerReport =
  | { readonly kind: "working"; readonly task: string }
  | { readonly kind: "memory"; readonly peakMb: number }
  | { readonly kind: "failed"; readonly message: string };

/**
 * Short leases: a frozen reader is noticed within three seconds. A chunk holds the loop for a tenth
 * of a second, far less than a missed heartbeat.
 */
export const timing = { heartbeatMs: 500, suspectAfterMs: 1_500, leaseMs: 3_000 } as const;

/** Agents of a worker, for the lines of the progress. */
export function agentsOf({ name, role }: Pick<WorkerOrder, "name" | "role">): readonly string[] {
  if (role === "desk-chief") return ["archivist"];
  return role === "wink" ? [name, "checker"] : [name];
}
