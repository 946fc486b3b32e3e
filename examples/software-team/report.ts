/** The end: what the log and the repository say. */
import type { MakeGreenResult } from "./contract.ts";
import type { Journal } from "./journal.ts";
import type { Repository } from "./repository.ts";

export interface Report extends MakeGreenResult {
  readonly wallMs: number;
  readonly events: number;
  readonly tasks: number;
  readonly kills: number;
  readonly leasesLost: number;
  readonly changes: readonly {
    readonly finding: string;
    readonly tried: readonly {
      readonly strategy: string;
      readonly by: string;
      readonly refusals: readonly string[];
    }[];
  }[];
  readonly undone: readonly string[];
  readonly releases: readonly string[];
  readonly head: string;
  readonly tree: string;
  /** Commits of main. */
  readonly commits: number;
  readonly tags: readonly string[];
  readonly diff: string;
}

export async function reportOf({
  result,
  journal,
  repository,
}: {
  readonly result: MakeGreenResult;
  readonly journal: Journal;
  readonly repository: Repository;
}): Promise<Report> {
  const { changes, events, kills, leasesLost, undone, releases } = journal;
  const byName = [...changes].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...result,
    wallMs: journal.endedAt - journal.startedAt,
    events,
    tasks: journal.tasksCompleted,
    kills,
    leasesLost,
    changes: byName.map(([finding, tried]) => ({
      finding,
      tried: tried.map(({ strategy, by, refusals }) => ({
        strategy,
        by,
        refusals: [...refusals].sort(),
      })),
    })),
    undone,
    releases: [...releases.values()],
    head: await repository.commitOf("main"),
    tree: await repository.git(["rev-parse", "main^{tree}"]),
    commits: Number(await repository.git(["rev-list", "--count", "main"])),
    tags: (await repository.git(["tag"])).split("\n"),
    diff: await repository.diff("found", "main"),
  };
}

export function printReport(report: Report): void {
  const { changes, refused, undone, decision, releases, tree, commits } = report;
  const { rounds, tasks, events, kills, wallMs } = report;
  console.log("");
  for (const { finding, tried } of changes) {
    console.log(finding);
    for (const { strategy, refusals } of tried) {
      console.log(`  ${refusals.length === 0 ? "+" : "-"} ${strategy}`);
      for (const refusal of refusals) console.log(`      ${refusal}`);
    }
  }
  console.log("");
  if (refused !== undefined) {
    console.log(`Refused: ${refused}`);
    console.log(`Taken back: ${undone.join(", ")}`);
  }
  console.log(`Merge into main: ${decision}`);
  console.log(`Released: ${releases.join() || "nothing"}`);
  console.log(`The tree of main is ${tree}, after ${commits} commits.`);
  const seconds = (wallMs / 1_000).toFixed(1);
  console.log(`${rounds} rounds, ${tasks} tasks, ${events} events, ${kills} kills, ${seconds} s`);
  console.log(`\n${report.diff}`);
}
