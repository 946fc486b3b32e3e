/**
 * The supervisor's workers: starts them, starts them again when they die, stops them in order.
 *
 *   starting ──exit──▶ (a moment) ──▶ starting …      too many deaths in a row: the crew has failed
 *      └──stop(): SIGTERM, at the deadline SIGKILL──▶ stopped
 *
 * Only processes that were started here are signalled.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "cadre";
import { DeskError } from "./desk-error.ts";
import type { WorkerOrder, WorkerReport } from "./worker-order.ts";

const restartAfterMs = 100;
const stopDeadlineMs = 6_000; // longer than a worker takes to drain
const quickDeathMs = 10_000; // a worker that lived longer was in order
const mostQuickDeaths = 5;
const keptErrorChars = 2_000;

const extension = extname(fileURLToPath(import.meta.url));
const program = fileURLToPath(new URL(`./worker-process${extension}`, import.meta.url));

export interface CrewListener {
  /** A task's extraction has just begun. */
  onWorking(worker: Worker): void;
  onRestart(worker: Worker, reason: string): void;
  onFailure(error: DeskError): void;
}

/** One place in the crew. Its process changes, its name and order stay. */
export class Worker {
  readonly order: WorkerOrder;
  child: ChildProcess | undefined;
  /** Highest memory of any of its processes. */
  peakMb = 0;
  frozen = false;
  startedAt = 0;
  quickDeaths = 0;
  errors = "";
  /** Whether its death is no mishap. */
  expected = false;

  constructor(order: WorkerOrder) {
    this.order = order;
  }

  get name(): string {
    return this.order.name;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get alive(): boolean {
    return this.child !== undefined && this.child.exitCode === null && !this.child.signalCode;
  }

  /** Sends a signal to the process that runs now. */
  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM"): boolean {
    return this.alive && (this.child?.kill(name) ?? false);
  }
}

export class Crew {
  readonly workers: readonly Worker[];
  readonly #listener: CrewListener;
  readonly #exits = new Set<Promise<void>>();
  #stopping = false;
  readonly #onExit = (): void => this.#killAll();

  constructor(orders: readonly WorkerOrder[], listener: CrewListener) {
    this.workers = orders.map((order) => new Worker(order));
    this.#listener = listener;
  }

  start(): void {
    // Nobody outlives a supervisor that is made to end at once.
    process.on("exit", this.#onExit);
    for (const worker of this.workers) this.#start(worker);
  }

  /** The highest memory of each worker, summed: as if all had been largest at once. */
  get peakMb(): number {
    return this.workers.reduce((sum, { peakMb }) => sum + peakMb, 0);
  }

  /** Resolves when all have ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const worker of this.workers) {
      // A frozen one hears nothing before it is thawed.
      if (worker.frozen) worker.signal("SIGCONT");
      worker.signal("SIGTERM");
    }
    const cancel = systemClock.after(stopDeadlineMs, () => this.#killAll());
    await Promise.all(this.#exits);
    cancel();
    process.off("exit", this.#onExit);
  }

  /** Ends all at once. What they had not committed is done again by the next run. */
  kill(): void {
    this.#stopping = true;
    this.#killAll();
  }

  #killAll(): void {
    for (const worker of this.workers) worker.signal("SIGKILL");
  }

  #start(worker: Worker): void {
    if (this.#stopping) return;
    const child = spawn(
      process.execPath,
      [...nodeOptions(), program, JSON.stringify(worker.order)],
      {
        stdio: ["ignore", "ignore", "pipe", "ipc"],
      },
    );
    worker.child = child;
    worker.frozen = false;
    worker.expected = false;
    worker.startedAt = systemClock.monotonic();
    worker.errors = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      worker.errors = (worker.errors + text).slice(-keptErrorChars);
    });
    child.on("message", (report) => this.#hear(worker, report as WorkerReport));
    const exit = new Promise<void>((resolve) => {
      child.once("error", (error) => {
        worker.errors += error.message;
        resolve();
      });
      child.once("exit", () => resolve());
    }).then(() => {
      this.#exits.delete(exit);
      this.#ended(worker, child);
    });
    this.#exits.add(exit);
  }

  #hear(worker: Worker, report: WorkerReport): void {
    if (report.kind === "memory") worker.peakMb = Math.max(worker.peakMb, report.peakMb);
    else if (report.kind === "working") this.#listener.onWorking(worker);
    else worker.errors = report.message;
  }

  #ended(worker: Worker, child: ChildProcess): void {
    if (this.#stopping) return;
    const livedMs = systemClock.monotonic() - worker.startedAt;
    const reason = child.signalCode ?? `exit code ${child.exitCode ?? "unknown"}`;
    worker.quickDeaths = worker.expected || livedMs > quickDeathMs ? 0 : worker.quickDeaths + 1;
    if (worker.quickDeaths >= mostQuickDeaths) {
      const said = worker.errors.trim() === "" ? "" : ` It said: ${worker.errors.trim()}`;
      const message =
        `The worker ${worker.name} ended ${worker.quickDeaths} times in a row (${reason}).` + said;
      this.#listener.onFailure(new DeskError("CREW_FAILED", message));
      return;
    }
    this.#listener.onRestart(worker, reason);
    systemClock.after(restartAfterMs, () => this.#start(worker));
  }
}

/** What this process was started with, so that the workers load the same files. */
function nodeOptions(): readonly string[] {
  return process.execArgv.filter((option) => !/^--(?:test|inspect|watch)/.test(option));
}
