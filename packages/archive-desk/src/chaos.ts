/**
 * Harm on purpose: readers are killed, one is frozen for longer than its lease and thawed, the desk
 * chief is killed; each several times, spread over the work.
 *
 *   kill    SIGKILL ──▶ the crew starts another
 *   freeze  SIGSTOP in the middle of a task ──▶ its lease ends, another does the task
 *           ──▶ SIGCONT: it finishes, and its late result is rejected
 *
 * A freeze may hit between two tasks, or while the process holds the log's write lock. Then it is
 * taken back at once and tried again: the first would show nothing, the second would stop
 * everybody.
 */
import { systemClock } from "cadre";
import type { Clock, Random } from "cadre";
import type { Crew, Worker } from "./crew.ts";
import type { DeskEvents } from "./desk-events.ts";
import type { DeskView } from "./desk-view.ts";

/** What harm needs of the supervisor. */
export interface ChaosPort {
  readonly crew: Crew;
  readonly random: Random;
  view(): DeskView;
  /** Writes to the log what was done. Resolves when it is there. */
  record(type: keyof DeskEvents & `desk.worker.${string}`, worker: Worker): Promise<void>;
  note(text: string): void;
}

interface Deed {
  /** Share of the tasks done at which it is due. */
  readonly at: number;
  readonly what: "kill" | "freeze";
  /** A worker's name begins with this. */
  readonly who: string;
}

const plan: readonly Deed[] = [
  { at: 0.04, what: "kill", who: "reader-compromise" },
  { at: 0.1, what: "freeze", who: "reader-compromise" },
  { at: 0.18, what: "kill", who: "desk-chief" },
  { at: 0.26, what: "kill", who: "reader-wink" },
  { at: 0.34, what: "kill", who: "reader-compromise" },
  { at: 0.42, what: "freeze", who: "reader-compromise" },
  { at: 0.5, what: "kill", who: "desk-chief" },
  { at: 0.58, what: "kill", who: "reader-compromise" },
  { at: 0.66, what: "freeze", who: "reader-compromise" },
  { at: 0.74, what: "kill", who: "desk-chief" },
  { at: 0.82, what: "kill", who: "reader-wink" },
  { at: 0.9, what: "kill", who: "reader-compromise" },
];
const spread = 0.04; // of the work, by chance: no two runs are harmed at the same places
const lockProbeMs = 400; // a commit takes some milliseconds, unless somebody is frozen in his
const mostFrozenMs = 12_000; // three leases and a good deal for a slow machine
const settleMs = 4_000; // until a thawed reader's late result is in the log
const lookEveryMs = 50;
const mostRetries = 5;

export class Chaos {
  readonly #port: ChaosPort;
  readonly #clock: Clock = systemClock;
  readonly #due: Deed[];
  /** Waits for its next task to be frozen in it. */
  #target: Worker | undefined;
  #freezing: Promise<void> | undefined;
  #stopped = false;
  #aborted = false;
  #retriesLeft = mostRetries;

  constructor(port: ChaosPort) {
    this.#port = port;
    this.#due = plan.map((deed) => ({ ...deed, at: deed.at + spread * port.random.next() }));
  }

  /** Does what is due at this share of the work. */
  progress(share: number): void {
    while (!this.#stopped && (this.#due[0]?.at ?? Infinity) <= share) {
      const [deed] = this.#due;
      // One frozen reader at a time; a due freeze holds up what comes after it.
      if (deed === undefined || (deed.what === "freeze" && this.#busy)) return;
      const worker = this.#choose(deed);
      if (worker === undefined) return;
      this.#due.shift();
      if (deed.what === "kill") this.#kill(worker);
      else this.#target = worker;
    }
  }

  /** A worker has just begun with a task's extraction. */
  working(worker: Worker): void {
    if (worker !== this.#target || this.#stopped || this.#freezing) return;
    this.#freezing = this.#freeze(worker).finally(() => {
      this.#freezing = undefined;
    });
  }

  /** No more harm; resolves when nobody is frozen and what was late is in the log. */
  async end(): Promise<void> {
    this.#stopped = true;
    this.#target = undefined;
    await this.#freezing;
  }

  /** No more harm, and nothing waited for: the crew is being stopped, which thaws the frozen. */
  abort(): void {
    this.#stopped = true;
    this.#aborted = true;
    this.#target = undefined;
  }

  get #busy(): boolean {
    return this.#target !== undefined || this.#freezing !== undefined;
  }

  #choose({ who }: Deed): Worker | undefined {
    const free = this.#port.crew.workers.filter(
      (worker) =>
        worker.name.startsWith(who) && worker.alive && !worker.frozen && worker !== this.#target,
    );
    return free[this.#port.random.integer(Math.max(1, free.length))];
  }

  #kill(worker: Worker): void {
    const { pid, name } = worker;
    worker.expected = true;
    if (!worker.signal("SIGKILL")) return;
    this.#port.note(`killed ${name} (process ${pid})`);
    void this.#port.record("desk.worker.killed", worker);
  }

  async #freeze(worker: Worker): Promise<void> {
    if (!worker.signal("SIGSTOP")) return;
    worker.frozen = true;
    const { name, pid } = worker;
    const before = this.#agent(name);
    if (!(await this.#hit(worker)) || this.#stopped) {
      this.#thaw(worker);
      await this.#port.record("desk.worker.thawed", worker);
      return;
    }
    this.#target = undefined;
    this.#port.note(`froze ${name} (process ${pid}) in the middle of a task`);
    // The lease runs out on the clocks of the others.
    await this.#until(mostFrozenMs, () => this.#agent(name).lost > before.lost);
    this.#thaw(worker);
    await this.#port.record("desk.worker.thawed", worker);
    this.#port.note(`thawed ${name}; another has its task by now`);
    const rejected = await this.#until(
      settleMs,
      () => this.#agent(name).rejected > before.rejected,
    );
    if (rejected) {
      this.#port.note(`the late result of ${name} was rejected`);
    } else if (this.#retriesLeft > 0) {
      // It stood still before its work had begun, and gave it up when it was thawed.
      this.#retriesLeft -= 1;
      this.#due.unshift({ at: 0, what: "freeze", who: name });
    }
  }

  /** Whether it stands still in the middle of a task, without the log's write lock. */
  async #hit(worker: Worker): Promise<boolean> {
    const recorded = this.#port.record("desk.worker.frozen", worker).then(() => true);
    const waited = this.#clock.sleep(lockProbeMs).then(() => false);
    if (!(await Promise.race([recorded, waited]))) return false;
    // What it had written before it stood still is in the view when our own event is.
    await this.#until(lockProbeMs, () => this.#agent(worker.name).holds > 0);
    return this.#agent(worker.name).holds > 0;
  }

  #thaw(worker: Worker): void {
    worker.signal("SIGCONT");
    worker.frozen = false;
  }

  /** A copy: the view changes under its readers. */
  #agent(name: string): {
    readonly holds: number;
    readonly lost: number;
    readonly rejected: number;
  } {
    const record = this.#port.view().agents.get(name);
    const { lost = 0, rejected = 0 } = record ?? {};
    return { holds: record?.holds.size ?? 0, lost, rejected };
  }

  async #until(limitMs: number, holds: () => boolean): Promise<boolean> {
    const since = this.#clock.monotonic();
    while (!holds()) {
      if (this.#aborted || this.#clock.monotonic() - since >= limitMs) return false;
      await this.#clock.sleep(lookEveryMs);
    }
    return true;
  }
}
