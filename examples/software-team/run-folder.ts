/** What the processes of one run share: a folder with the log, the repository and the worktrees. */
import { join } from "node:path";

export function storeOf(folder: string): string {
  return `sqlite:${join(folder, "team.db")}`;
}

/** Short leases: what a killed worker held is done by another within seconds. */
export const timing = { heartbeatMs: 500, suspectAfterMs: 1_500, leaseMs: 4_000 } as const;
