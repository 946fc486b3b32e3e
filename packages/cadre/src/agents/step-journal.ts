/**
 * The journal of a handler's steps: what was intended, what was done, what it returned.
 *
 *   (nothing) ──intent──▶ in doubt ──receipt──▶ done: its result is returned in every later attempt
 *        └──────────receipt (policy "retry" needs no intent)──▲
 *
 * Records are events of the handler's stream, so that a fenced-off owner cannot add any. A receipt
 * is durable before the next step runs, before the handler's success commits, and otherwise within
 * one turn of the loop; so a handler whose last step ends with it pays one commit for both.
 */
import { createHash } from "node:crypto";

import type { AgentEvent } from "../core/event.ts";
import { CadreError, describeError } from "../core/errors.ts";
import { toFrozenJson, type JsonValue } from "../core/json.ts";
import type { Clock } from "../core/clock.ts";
import type { StepOptions } from "./agent.ts";
import { text } from "./task-fold.ts";

interface Recorded {
  readonly inputHash: string;
  readonly done: boolean;
  readonly result?: JsonValue;
}

/** Where the journal writes. */
export interface JournalSink {
  /** Stable over all attempts: the task's id, or the group and the event's id. */
  readonly key: string;
  readonly clock: Clock;
  /** The records of earlier attempts; asked for once, before the first step. */
  history(): Promise<readonly AgentEvent[]>;
  /** Throws when this attempt may have no effect any more: its lease is over, or it was aborted. */
  assertOwned(): void;
  makeEvent(type: string, payload: Readonly<Record<string, unknown>>): AgentEvent;
  /**
   * Appends to the handler's stream; rejects with LEASE_LOST when it is no longer this attempt's.
   */
  append(events: readonly AgentEvent[]): Promise<unknown>;
}

export class StepJournal {
  readonly #sink: JournalSink;
  readonly #records = new Map<string, Recorded>();
  readonly #timers = new Map<string, number>();
  readonly #seen = new Set<string>();
  #pending: AgentEvent[] = [];
  #writing: Promise<void> = Promise.resolve();
  #flushDue = false;
  #loading: Promise<void> | undefined;

  constructor(sink: JournalSink) {
    this.#sink = sink;
  }

  /** See `AgentContext.step`. */
  async step<Result>(
    name: string,
    run: (stepKey: string) => Promise<Result> | Result,
    options: StepOptions<Result> & { readonly input?: unknown },
  ): Promise<Result> {
    this.#claimName(name);
    await this.#loaded();
    const inputHash = hashInput(options.input);
    const recorded = this.#records.get(name);
    if (recorded && recorded.inputHash !== inputHash) {
      throw new CadreError(
        "STEP_DRIFT",
        `Step "${name}" was journaled with another input. ` +
          "Give the step another name, or the input it had.",
        { step: name, expected: recorded.inputHash, actual: inputHash },
      );
    }
    if (recorded?.done) return recorded.result as Result;
    await this.flush();
    const stepKey = `${this.#sink.key}/${name}`;
    const policy = options.after ?? (options.undo ? "ask" : "retry");
    if (policy === "check" && !options.check) {
      const message = `Step "${name}" has after: "check" and no check. Give it one.`;
      throw new CadreError("INVALID_OPTION", message, { option: "check" });
    }
    if (recorded) {
      const settled = await this.#resolveDoubt(name, stepKey, policy, options);
      if (settled) return this.#receipt(name, stepKey, inputHash, settled.result);
    } else if (policy !== "retry") {
      await this.#intent(name, stepKey, inputHash);
    }
    const result = await this.#attempts(name, run, stepKey, options);
    return this.#receipt(name, stepKey, inputHash, result);
  }

  /** Milliseconds of wall time at which the named sleep ends; the first call journals it. */
  async timer(name: string, ms: number): Promise<number> {
    this.#claimName(name);
    await this.#loaded();
    const known = this.#timers.get(name);
    if (known !== undefined) return known;
    const dueAt = this.#sink.clock.now() + ms;
    await this.flush();
    await this.#sink.append([
      this.#sink.makeEvent("step.timer", { step: name, key: `${this.#sink.key}/${name}`, dueAt }),
    ]);
    this.#timers.set(name, dueAt);
    return dueAt;
  }

  /** Makes all receipts durable. Rejects with LEASE_LOST when the handler was fenced off. */
  async flush(): Promise<void> {
    this.#writePending();
    await this.#writing;
  }

  /**
   * The receipts that are not durable yet, for the commit that ends the handler, after all earlier
   * ones are.
   */
  async finish(): Promise<readonly AgentEvent[]> {
    const events = this.#pending;
    this.#pending = [];
    await this.#writing;
    return events;
  }

  #writePending(): void {
    const events = this.#pending;
    if (events.length === 0) return;
    this.#pending = [];
    const before = this.#writing;
    this.#writing = before.then(async () => void (await this.#sink.append(events)));
    // Who waits for the journal sees the failure; nobody else has to.
    this.#writing.catch(() => undefined);
  }

  #loaded(): Promise<void> {
    this.#loading ??= this.#sink.history().then((history) => {
      for (const event of history) this.#load(event);
    });
    return this.#loading;
  }

  #claimName(name: string): void {
    if (this.#seen.has(name)) {
      throw new CadreError(
        "STEP_DRIFT",
        `Step "${name}" ran already in this handler. ` +
          "Names are unique; in a loop, put the item's key into the name.",
        { step: name, expected: "a new name", actual: name },
      );
    }
    this.#seen.add(name);
  }

  async #intent(name: string, stepKey: string, inputHash: string): Promise<void> {
    await this.#sink.append([
      this.#sink.makeEvent("step.intent", { step: name, key: stepKey, inputHash }),
    ]);
    this.#records.set(name, { inputHash, done: false });
  }

  async #attempts<Result>(
    name: string,
    run: (stepKey: string) => Promise<Result> | Result,
    stepKey: string,
    options: StepOptions<Result>,
  ): Promise<Result> {
    const maxAttempts = options.maxAttempts ?? 1;
    for (let attempt = 1; ; attempt += 1) {
      // Asked last before each effect: a process that froze after its intent must not go on.
      this.#sink.assertOwned();
      try {
        return await this.#bounded(name, run, stepKey, options.timeoutMs);
      } catch (error) {
        if (attempt >= maxAttempts) throw error;
        this.#pending.push(
          this.#sink.makeEvent("step.failed", {
            step: name,
            key: stepKey,
            attempt,
            error: { ...describeError(error), stack: undefined },
          }),
        );
        await this.#sink.clock.sleep(stepRetryMs * 2 ** (attempt - 1));
      }
    }
  }

  async #bounded<Result>(
    name: string,
    run: (stepKey: string) => Promise<Result> | Result,
    stepKey: string,
    timeoutMs: number | undefined,
  ): Promise<Result> {
    if (timeoutMs === undefined) return run(stepKey);
    let cancel = (): void => {};
    const timeout = new Promise<never>((_resolve, reject) => {
      cancel = this.#sink.clock.after(timeoutMs, () => {
        const message = `Step "${name}" took longer than ${timeoutMs} ms.`;
        reject(new CadreError("TIMEOUT", message, { what: `step ${name}`, timeoutMs }));
      });
    });
    try {
      return await Promise.race([run(stepKey), timeout]);
    } finally {
      cancel();
    }
  }

  async #resolveDoubt<Result>(
    name: string,
    stepKey: string,
    policy: string,
    options: StepOptions<Result>,
  ): Promise<{ readonly result: Result } | undefined> {
    if (policy === "retry") return undefined;
    if (policy === "skip") return { result: null as Result };
    if (policy === "check" && options.check) {
      const found = await options.check(stepKey);
      return found === undefined ? undefined : { result: found };
    }
    throw new CadreError(
      "STEP_IN_DOUBT",
      `Step "${name}" was begun and has no receipt: its effect may have happened. ` +
        'Find out, then give the step `after: "retry"`, "skip", or "check" with a check.',
      { step: name },
    );
  }

  #receipt<Result>(name: string, stepKey: string, inputHash: string, result: Result): Result {
    // What the first run returns is what every later attempt gets back; nothing stays nothing.
    const kept = result === undefined ? {} : { result: toFrozenJson(result) };
    this.#records.set(name, { inputHash, done: true, ...kept });
    this.#pending.push(
      this.#sink.makeEvent("step.receipt", { step: name, key: stepKey, inputHash, ...kept }),
    );
    this.#flushSoon();
    return kept.result as Result;
  }

  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    void this.#sink.clock.yield().then(() => {
      this.#flushDue = false;
      this.#writePending();
    });
  }

  #load(event: AgentEvent): void {
    const fields = event.payload as Readonly<Record<string, JsonValue>>;
    const name = text(fields["step"]);
    const inputHash = text(fields["inputHash"]);
    if (event.type === "step.intent" && !this.#records.get(name)?.done) {
      this.#records.set(name, { inputHash, done: false });
    } else if (event.type === "step.receipt") {
      const kept = "result" in fields ? { result: fields["result"] } : {};
      this.#records.set(name, { inputHash, done: true, ...kept });
    } else if (event.type === "step.timer") {
      this.#timers.set(name, Number(fields["dueAt"]));
    }
  }
}

const stepRetryMs = 100; // doubles with each attempt of the step

function hashInput(input: unknown): string {
  if (input === undefined) return "";
  return createHash("sha256")
    .update(stableText(toFrozenJson(input)))
    .digest("hex")
    .slice(0, 32);
}

/**
 * JSON with sorted keys: two inputs that are equal hash equally, whatever order their members were
 * set in.
 */
function stableText(value: JsonValue): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(stableText).join(",")}]`;
  const members = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  const texts = members.map(([key, member]) => `${JSON.stringify(key)}:${stableText(member)}`);
  return `{${texts.join(",")}}`;
}
