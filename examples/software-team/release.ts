/**
 * The release: a saga. The merge into main, the tag and the publication are each taken back when a
 * later step fails.
 *
 * Each finds what it has done by its key: the merge by a line of its message, the tag by where it
 * points, the package by its name. So a step whose receipt was lost is not done a second time.
 */
import { existsSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { TerminalError, type } from "cadre";
import { defineSaga, type SagaDefinition } from "cadre/agents";
import type { Released } from "./contract.ts";
import { healthOf } from "./examination.ts";
import type { Repository } from "./repository.ts";

export interface ReleaseInput {
  readonly version: string;
  readonly commit: string;
}

const role = "release-manager";
const main = "refs/heads/main";

/** The saga for one repository: who only asks for it needs none. */
export function releaseSaga(repository: Repository): SagaDefinition<ReleaseInput, Released> {
  const tagOf = ({ version }: ReleaseInput): string => `refs/tags/v${version}`;
  return defineSaga({ name: "release", input: type<ReleaseInput>(), maxAttempts: 5 }, (saga) =>
    saga
      .step("merge", ({ input, key }) => merge(repository, input, key), {
        after: "check",
        check: ({ key }) => findMerge(repository, key),
        undo: ({ key }) => unmerge(repository, key),
      })
      .step("test", async ({ results }) => {
        const { failing, passing } = await healthOf(repository, results.merge);
        if (failing.length > 0) throw new TerminalError(`fails on main: ${failing.join("; ")}`);
        return passing;
      })
      .step("tag", ({ input, results }) => tag(repository, tagOf(input), results.merge), {
        after: "retry", // the same tag at the same commit is one tag
        undo: ({ input }) => untag(repository, tagOf(input)),
      })
      .step("publish", ({ input, results }) => publish(repository, input, results.merge))
      .returns(({ input, results }) => ({ commit: results.merge, tag: `v${input.version}` })),
  );
}

/** Merges onto main, and leaves the step's key in the message. */
export async function merge(
  repository: Repository,
  { version, commit }: ReleaseInput,
  key: string,
): Promise<string> {
  const before = await repository.commitOf(main);
  const message = `Release ${version}\n\nStep: ${key}`;
  const merged = await repository.merge(before, [{ commit, message }], role);
  // Fails when somebody else was faster: then the saga's next attempt merges onto that.
  await repository.move(main, merged, before);
  return merged;
}

/** The merge of a step, if it is on main. */
export async function findMerge(repository: Repository, key: string): Promise<string | undefined> {
  const found = await repository.git([
    ...["log", "--first-parent", "--fixed-strings", "--format=%H"],
    ...[`--grep=Step: ${key}`, main],
  ]);
  return found === "" ? undefined : found.split("\n")[0];
}

/** Back to the commit before, if nothing came on top of it; else a revert on top. */
export async function unmerge(repository: Repository, key: string): Promise<void> {
  const merged = await findMerge(repository, key);
  if (merged === undefined) return; // it never happened, or was taken back already
  const tip = await repository.commitOf(main);
  if (tip === merged) {
    await repository.move(main, await repository.commitOf(`${merged}^1`), merged);
    return;
  }
  const undoes = `Undoes: ${key}`;
  const done = await repository.git(["log", "--fixed-strings", `--grep=${undoes}`, main]);
  if (done !== "") return;
  const reverted = await repository.revert(tip, merged, { message: undoes, role });
  await repository.move(main, reverted, tip);
}

async function tag(repository: Repository, name: string, commit: string): Promise<string> {
  const there = await repository.find(name);
  if (there !== undefined && there !== commit) {
    throw new TerminalError(`${name} is another commit already`);
  }
  if (there === undefined) await repository.move(name, commit);
  return name;
}

async function untag(repository: Repository, name: string): Promise<void> {
  const there = await repository.find(name);
  if (there !== undefined) await repository.move(name, undefined, there);
}

/** The registry is a folder. It refuses what its package.json calls by another version. */
async function publish(
  repository: Repository,
  { version }: ReleaseInput,
  commit: string,
): Promise<string> {
  const manifest = await repository.git(["show", `${commit}:package.json`]);
  const { name, version: own } = JSON.parse(manifest) as { name: string; version: string };
  if (own !== version) {
    throw new TerminalError(
      `the registry refuses ${name} ${version}: its package.json says ${own}`,
    );
  }
  const registry = join(repository.folder, "registry");
  const file = `${name}-${version}.tar`;
  if (existsSync(join(registry, file))) return file;
  await mkdir(registry, { recursive: true });
  const draft = join(registry, `${file}.${process.pid}.part`);
  await repository.git(["archive", "--format=tar", `--output=${draft}`, commit]);
  await rename(draft, join(registry, file));
  return file;
}
