/** The workers' supervisor: starts them, starts them again when they die, and stops them. */
import { spawn, type ChildProcess } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { secureRandom, systemClock } from "cadre";

const restartAfterMs = 200;
const stopDeadlineMs = 6_000;
const mostDeaths = 20; // then something else is wrong

const extension = extname(fileURLToPath(import.meta.url));
const program = fileURLToPath(new URL(`./worker-process${extension}`, import.meta.url));

export class Crew {
  readonly #folder: string;
  readonly #children = new Map<string, ChildProcess>();
  #deaths = 0;
  #stopping = false;
  readonly #failed = Promise.withResolvers<never>();
  readonly #onExit = (): void => this.#signal("SIGKILL");

  constructor(folder: string, names: readonly string[]) {
    this.#folder = folder;
    process.on("exit", this.#onExit);
    for (const name of names) this.#start(name);
    this.failed.catch(() => undefined); // whoever waits for it sees it
  }

  /** Rejects when workers keep dying. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Ends a worker that is chosen by chance, in the middle of whatever it does. */
  killOne(): string | undefined {
    const alive = [...this.#children].filter(([, child]) => isAlive(child));
    const [name, child] = alive[secureRandom.integer(Math.max(1, alive.length))] ?? [];
    return child?.kill("SIGKILL") ? name : undefined;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const ends = [...this.#children.values()]
      .filter(isAlive)
      .map((child) => new Promise((resolve) => child.once("exit", resolve)));
    this.#signal("SIGTERM");
    const cancel = systemClock.after(stopDeadlineMs, () => this.#signal("SIGKILL"));
    await Promise.all(ends);
    cancel();
    process.off("exit", this.#onExit);
  }

  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    for (const child of this.#children.values()) if (isAlive(child)) child.kill(signal);
  }

  #start(name: string): void {
    if (this.#stopping) return;
    const options = process.execArgv.filter((option) => !/^--(?:test|inspect|watch)/.test(option));
    const child = spawn(process.execPath, [...options, program, this.#folder, name], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-2_000);
    });
    child.once("exit", (code, signal) => {
      this.#deaths += 1;
      if (this.#deaths >= mostDeaths) {
        this.#failed.reject(new Error(`Workers keep dying (${signal ?? code}): ${said}`));
      }
      systemClock.after(restartAfterMs, () => this.#start(name));
    });
    this.#children.set(name, child);
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}
