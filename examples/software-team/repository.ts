/**
 * The library's Git repository: bare, so that nobody's working tree is in the way. Whoever needs
 * files gets a worktree of his own.
 *
 * Commits have a fixed date and the author's role: the same change on the same base is the same
 * commit, whoever makes it and however often. So an agent that was killed between its commit and
 * its receipt commits nothing twice.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const date = "2026-01-01T00:00:00Z";
const timeoutMs = 60_000; // a git that hangs is an attempt that failed
const noCommit = "0".repeat(40);

/** Nothing of this machine's configuration, nor of a repository that this one may be within. */
function gitEnvironment(role: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"));
  return {
    ...Object.fromEntries(own),
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_AUTHOR_NAME: role,
    GIT_AUTHOR_EMAIL: `${role}@team.example`,
    GIT_AUTHOR_DATE: date,
    GIT_COMMITTER_NAME: role,
    GIT_COMMITTER_EMAIL: `${role}@team.example`,
    GIT_COMMITTER_DATE: date,
  };
}

export class Repository {
  readonly folder: string;
  readonly #git: string;

  /** @param folder of the whole run; the repository is `library.git` in it */
  constructor(folder: string) {
    this.folder = folder;
    this.#git = join(folder, "library.git");
  }

  /** Makes the repository of a copy of the library, unless it is there. */
  async prepare(library: string): Promise<void> {
    if (existsSync(this.#git)) return;
    await mkdir(this.folder, { recursive: true });
    const draft = await mkdtemp(join(this.folder, "draft-"));
    const git = (...args: string[]): Promise<unknown> =>
      run("git", [`--git-dir=${draft}`, `--work-tree=${library}`, ...args], {
        env: gitEnvironment("author"),
        timeout: timeoutMs,
      });
    await run("git", ["init", "--quiet", "--bare", "--initial-branch=main", draft], {
      env: gitEnvironment("author"),
    });
    await git("add", "--all", ".");
    await git("commit", "--quiet", "--message", "The library as it was found");
    await git("tag", "found");
    // All of it is there, or nothing.
    await rename(draft, this.#git);
  }

  async git(args: readonly string[], role = "team"): Promise<string> {
    return this.#in(this.#git, args, role);
  }

  /** The commit of a name, if there is one. */
  async find(name: string): Promise<string | undefined> {
    return this.git(["rev-parse", "--verify", "--quiet", `${name}^{commit}`]).catch(
      () => undefined,
    );
  }

  async commitOf(name: string): Promise<string> {
    return this.git(["rev-parse", "--verify", `${name}^{commit}`]);
  }

  diff(from: string, to: string): Promise<string> {
    return this.git(["diff", "--no-color", "--no-ext-diff", from, to]);
  }

  /** Runs with the files of a commit in a worktree that nobody else has. */
  async worktree<Result>(
    commit: string,
    use: (folder: string) => Promise<Result>,
  ): Promise<Result> {
    const parent = join(this.folder, "worktrees");
    await mkdir(parent, { recursive: true });
    const folder = await mkdtemp(join(parent, `${commit.slice(0, 8)}-`));
    try {
      await this.git(["worktree", "add", "--quiet", "--force", "--detach", folder, commit]);
      return await use(folder);
    } finally {
      await this.git(["worktree", "remove", "--force", folder]).catch(() => undefined);
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Commits changed files onto a base, and gives the commit a branch. */
  async commitFiles(change: {
    readonly base: string;
    readonly branch: string;
    readonly files: Readonly<Record<string, string>>;
    readonly message: string;
    readonly role: string;
  }): Promise<string> {
    const { base, branch, files, message, role } = change;
    const commit = await this.worktree(base, async (folder) => {
      for (const [path, text] of Object.entries(files)) {
        await mkdir(dirname(join(folder, path)), { recursive: true });
        await writeFile(join(folder, path), text);
      }
      await this.#in(folder, ["add", "--all"], role);
      await this.#in(folder, ["commit", "--quiet", "--message", message], role);
      return this.#in(folder, ["rev-parse", "HEAD"], role);
    });
    await this.git(["update-ref", `refs/heads/${branch}`, commit]);
    return commit;
  }

  /** Merges commits onto a base, without a fast-forward. @throws on a conflict */
  async merge(
    base: string,
    merges: readonly { readonly commit: string; readonly message: string }[],
    role: string,
  ): Promise<string> {
    return this.worktree(base, async (folder) => {
      for (const { commit, message } of merges) {
        await this.#in(folder, ["merge", "--quiet", "--no-ff", "--message", message, commit], role);
      }
      return this.#in(folder, ["rev-parse", "HEAD"], role);
    });
  }

  /** Takes a merge back with a commit on top. */
  async revert(
    onto: string,
    merged: string,
    { message, role }: { readonly message: string; readonly role: string },
  ): Promise<string> {
    return this.worktree(onto, async (folder) => {
      await this.#in(folder, ["revert", "--no-edit", "--no-commit", "-m", "1", merged], role);
      await this.#in(folder, ["commit", "--quiet", "--message", message], role);
      return this.#in(folder, ["rev-parse", "HEAD"], role);
    });
  }

  /** Moves a branch or tag, if it is still where it was. @param from nothing: it must be new */
  async move(name: string, to: string | undefined, from?: string): Promise<void> {
    const change = to === undefined ? ["-d", name] : [name, to];
    await this.git(["update-ref", ...change, from ?? noCommit]);
  }

  /** Removes the worktrees that killed agents have left behind. */
  async tidy(): Promise<void> {
    await rm(join(this.folder, "worktrees"), { recursive: true, force: true });
    await this.git(["worktree", "prune"]);
  }

  async #in(folder: string, args: readonly string[], role: string): Promise<string> {
    const options = { cwd: folder, env: gitEnvironment(role), timeout: timeoutMs };
    const { stdout } = await run("git", [...settings, ...args], options);
    return stdout.trimEnd();
  }
}

const settings = ["-c", "commit.gpgsign=false", "-c", "core.autocrlf=false", "-c", "gc.auto=0"];
