/**
 * The journal of a handler's steps: what was intended, what was done, what it returned.
 *
 *   (nothing) ──intent──▶ in doubt ──receipt──▶ done: its result is returned in every later attempt
 *        └──────────receipt (policy "retry" needs no intent)──▲
 *
 * Records are events of the handler's stream, so that a fenced-off owner cannot add any. A receipt
 * is durable before the next step runs, before the handler's success commits, and otherwise within
 * one turn of the loop; so a handler whose last step ends with it pays one commit for both.
 *
 * A sealed one lets no step begin any more: its handler is left. One that replays gives recorded
 * results only, to learn the handler's undos.
 */
import { isCadreError, type CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { toFrozenJson } from "../core/json.ts";
import { assertPossible, settleDoubt, type JournalSink, type StepCall } from "./journal-sink.ts";
import { isPassing } from "./passing-trouble.ts";
import { hashInput } from "./input-hash.ts";
import { inDoubt, leftOut, otherInput, recordedError, repeated } from "./step-errors.ts";
import { isOwedUndo, StepStates, type StepState } from "./step-fold.ts";
import { plainError } from "./task-events.ts";
import { WaitRecords, type RecordedSignal } from "./wait-records.ts";
import { atMost, never, withinTime } from "./within-time.ts";

type Fields = Readonly<Record<string, unknown>>;

export class StepJournal {
  readonly #sink: JournalSink;
  readonly #steps = new StepStates();
  readonly #waits = new WaitRecords();
  readonly #asked = new Map<string, string>();
  readonly #calls = new Map<string, StepCall>();
  #inFlight = 0;
  #onIdle: () => void = () => {};
  #pending: AgentEvent[] = [];
  #writing: Promise<void> = Promise.resolve();
  #flushDue = false;
  #loading: Promise<void> | undefined;
  #mode: "forward" | "replay" | "sealed" = "forward";
  #onReplayed: () => void = () => {};
  #hasHistory = false;
  #doubt: CadreError<"STEP_IN_DOUBT"> | undefined;

  constructor(sink: JournalSink) {
    this.#sink = sink;
  }

  /** The step that a person must decide about, once one was found. */
  get doubt(): string | undefined {
    return this.#doubt?.details.step;
  }

  /** The steps asked for so far, in order, with the hashes of their inputs. */
  get asked(): ReadonlyMap<string, string> {
    return this.#asked;
  }

  stateOf(name: string): StepState | undefined {
    return this.#steps.get(name);
  }

  /** How many steps are in this state. */
  count(status: StepState["status"]): number {
    return this.#steps.all().filter((step) => step.status === status).length;
  }

  /** The next step to undo, as far as this journal has read and written. */
  lastToUndo(): StepState | undefined {
    return this.#steps.lastToUndo();
  }

  /** The step as the handler asked for it, in this attempt or in its replay. */
  callOf(name: string): StepCall | undefined {
    return this.#calls.get(name);
  }

  /** See `AgentContext.step`. */
  async step<Result>(call: StepCall<Result>): Promise<Result> {
    const { name, input } = call;
    assertPossible(call, this.#sink.allowsUndo);
    if (this.#mode === "sealed") return never();
    const inputHash = hashInput(input);
    this.#claimName(name, inputHash);
    // The types of a call belong together; here it is one of many.
    this.#calls.set(name, call as StepCall);
    await this.load();
    if (this.#mode === "replay" && this.hasAllUndos()) this.#onReplayed();
    const known = this.#steps.get(name);
    if (known && known.inputHash !== inputHash) this.#drifted(known, inputHash);
    // Behind a pivot there is no way but forward: what refused once may not for ever.
    if (known?.status === "refused" && !this.#steps.isPastPivot()) throw recordedError(known);
    if (known && known.status !== "begun" && known.status !== "refused") {
      return (known.status === "skipped" ? (known.result ?? null) : known.result) as Result;
    }
    if (this.#mode !== "forward") {
      // The handler may have gone on behind a step that failed.
      if (this.#mode === "replay" && known?.error) throw recordedError(known);
      return never();
    }
    this.#inFlight += 1;
    const result = await this.#run(call, inputHash, known).finally(() => {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#onIdle();
    });
    if (!this.#sink.afterReceipt) return result;
    await this.flush();
    await this.#sink.afterReceipt(name);
    return result;
  }

  /** Milliseconds of wall time at which the named sleep ends; the first call journals it. */
  async timer(name: string, ms: number): Promise<number> {
    await this.#claimWait(name);
    return this.timeWithin(name, ms);
  }

  /** What a wait of an earlier attempt has come to, if it has ended. */
  async signal(name: string): Promise<RecordedSignal | undefined> {
    await this.#claimWait(name);
    const known = this.#waits.signal(name);
    return known || this.#mode === "forward" ? known : never();
  }

  /** The end of the time that a wait of this name is given; the first call journals it. */
  async timeWithin(name: string, ms: number): Promise<number> {
    const known = this.#waits.dueAt(name);
    if (known !== undefined) return known;
    if (this.#mode !== "forward") return never();
    const dueAt = this.#sink.clock.now() + ms;
    await this.flush();
    await this.#sink.append([this.make("step.timer", { ...this.#named(name), dueAt })]);
    return dueAt;
  }

  /** Whether a wait of this handler has taken this event. */
  hasTaken(eventId: string): boolean {
    return this.#waits.hasTaken(eventId);
  }

  /**
   * Makes durable what a wait has come to: an event, or nothing in time. False when another wait of
   * this handler has taken the event.
   */
  async takeSignal(name: string, event: AgentEvent | undefined): Promise<boolean> {
    if (event && !this.#waits.take(event.id)) return false;
    const found = event ? { eventId: event.id, value: event } : { timedOut: true };
    await this.flush();
    await this.#sink.append([this.make("step.signal", { ...this.#named(name), ...found })]);
    return true;
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

  /** Takes back what `finish` gave: the commit was refused. */
  keep(events: readonly AgentEvent[]): void {
    this.#pending.unshift(...events);
  }

  /** Lets no step begin any more, and waits for those that run, but no longer than `ms`. */
  async seal(ms: number): Promise<void> {
    this.#mode = "sealed";
    if (this.#inFlight === 0) return;
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    await atMost(this.#sink.clock, ms, idle);
  }

  /**
   * Recorded steps that the handler has ended without. What this means is the task's policy: the
   * drift is on record in either case.
   *
   * @throws {CadreError} STEP_DRIFT
   */
  async assertAllAsked(): Promise<void> {
    await this.load();
    // What this attempt has recorded it has asked for.
    if (!this.#hasHistory) return;
    for (const { name, status, inputHash, key } of this.#steps.all()) {
      if (status === "begun" || status === "refused" || this.#asked.has(name)) continue;
      const { drift } = this.#sink;
      const details = { step: name, expected: inputHash || name, actual: "nothing" };
      this.#push("step.drift", { ...details, key, kind: "missing", policy: drift });
      if (drift === "warn") continue;
      throw leftOut(details);
    }
  }

  /** Whether the handler has asked for every step that is to be undone. */
  hasAllUndos(): boolean {
    const owed = this.#steps.all().filter(isOwedUndo);
    return owed.every(({ name }) => this.#calls.get(name)?.options.undo !== undefined);
  }

  /** Whether the undo of the step would be given the input that the step had. */
  asksAsRecorded({ name, inputHash }: StepState): boolean {
    return this.#sink.drift === "warn" || this.#asked.get(name) === inputHash;
  }

  /**
   * Runs the handler on its records alone, until it has asked for every step that is to be undone.
   * A handler that waits for something else is left after `ms`. Whether another may get further.
   */
  async replay(handler: () => Promise<unknown>, ms: number): Promise<boolean> {
    await this.load();
    this.#mode = "replay";
    let mayGetFurther = true;
    let cancel = (): void => {};
    const ended = new Promise<void>((resolve) => {
      const end = (isOver: boolean): void => {
        mayGetFurther &&= !isOver;
        resolve();
      };
      this.#onReplayed = () => end(true);
      if (this.hasAllUndos()) return end(true);
      handler().then(
        () => end(true),
        (error: unknown) => {
          if (isPassing(error)) return end(false);
          // Branches beside the one that failed may be on their way yet.
          cancel = this.#sink.clock.after(Math.min(ms, stragglersMs), () => end(true));
        },
      );
    });
    await atMost(this.#sink.clock, ms, ended);
    cancel();
    this.#mode = "sealed";
    return mayGetFurther;
  }

  /** Reads the records of earlier attempts, once. */
  load(): Promise<void> {
    this.#loading ??= this.#sink.history().then((history) => {
      this.#hasHistory = history.length > 0;
      for (const event of history) this.#apply(event);
    });
    return this.#loading;
  }

  /** Makes a record, which counts as written from here on. */
  make(type: string, payload: Fields): AgentEvent {
    const event = this.#sink.makeEvent(type, payload);
    this.#apply(event);
    return event;
  }

  #named(name: string): { readonly step: string; readonly key: string } {
    return { step: name, key: `${this.#sink.key}/${name}` };
  }

  async #claimWait(name: string): Promise<void> {
    if (this.#mode === "sealed") return never();
    this.#claimName(name, "");
    await this.load();
  }

  #claimName(name: string, inputHash: string): void {
    if (this.#asked.has(name)) throw repeated(name);
    this.#asked.set(name, inputHash);
  }

  #drifted(known: StepState, actual: string): void {
    const { name, inputHash: expected, key } = known;
    if (this.#mode === "replay") return;
    const { drift: policy } = this.#sink;
    this.#push("step.drift", { step: name, key, kind: "input", expected, actual, policy });
    this.#flushSoon();
    if (policy === "warn") return;
    throw otherInput({ step: name, expected, actual });
  }

  /** Everything between a step that has no result and its receipt. */
  async #run<Result>(
    call: StepCall<Result>,
    inputHash: string,
    known: StepState | undefined,
  ): Promise<Result> {
    const { options } = call;
    const policy = options.after ?? (options.undo ? "ask" : "retry");
    const isInDoubt = known?.status === "begun" && !known.mayRepeat;
    if (!isInDoubt && (policy !== "retry" || options.undo || options.pivot)) {
      this.#push("step.intent", this.#fieldsOf(call, inputHash));
    }
    // One write for the receipts of earlier steps and the intent of this one.
    await this.flush();
    if (isInDoubt) {
      const settled = await settleDoubt(call, policy, this.#named(call.name).key);
      if (settled === "ask") throw (this.#doubt = inDoubt(call.name));
      if (settled) return this.#receipt(call, inputHash, settled);
    }
    const result = await this.#attempts(call, inputHash);
    return this.#receipt(call, inputHash, { result });
  }

  #fieldsOf<Result>({ name, options }: StepCall<Result>, inputHash: string): Fields {
    return {
      ...this.#named(name),
      inputHash,
      ...(options.undo ? { undo: true } : {}),
      ...(options.pivot ? { pivot: true } : {}),
    };
  }

  async #attempts<Result>(call: StepCall<Result>, inputHash: string): Promise<Result> {
    const { name, run, options } = call;
    const { key } = this.#named(name);
    const { maxAttempts, delayMs, maxDelayMs } = { ...onceOnly, ...options.retry };
    for (let attempt = 1; ; attempt += 1) {
      // Asked last before each effect: a process that froze after its intent must not go on.
      this.#sink.assertOwned();
      try {
        return await withinTime(this.#sink.clock, options.timeoutMs, `step ${name}`, () =>
          run(key),
        );
      } catch (error) {
        if (isCadreError(error, "STEP_IN_DOUBT") && error.details.step === name) {
          // It has not happened, and a person says whether it may.
          this.#push("step.intent", this.#fieldsOf(call, inputHash));
          throw (this.#doubt = error);
        }
        const refused = isCadreError(error, "TERMINAL") && !this.#steps.isPastPivot();
        const fields = { step: name, key, inputHash, attempt, error: plainError(error) };
        this.#push("step.failed", refused ? { ...fields, refused } : fields);
        // Who seals waits for the steps that run, and not for their next tries.
        if (refused || attempt >= maxAttempts || this.#mode === "sealed") throw error;
        await this.#sink.clock.sleep(Math.min(maxDelayMs, delayMs * 2 ** (attempt - 1)));
      }
    }
  }

  #receipt<Result>(
    call: StepCall<Result>,
    inputHash: string,
    outcome: { readonly result: Result; readonly skipped?: true },
  ): Result {
    const { result, skipped } = outcome;
    // What the first run returns is what every later attempt gets back; nothing stays nothing.
    const kept = result === undefined ? {} : { result: toFrozenJson(result) };
    const fields = this.#fieldsOf(call, inputHash);
    this.#push("step.receipt", { ...fields, ...kept, ...(skipped ? { skipped } : {}) });
    for (const fact of call.facts?.(kept.result as Result) ?? [])
      this.#push(fact.type, fact.payload);
    this.#flushSoon();
    return kept.result as Result;
  }

  #push(type: string, payload: Fields): void {
    this.#pending.push(this.make(type, payload));
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

  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    void this.#sink.clock.yield().then(() => {
      this.#flushDue = false;
      this.#writePending();
    });
  }

  #apply(event: AgentEvent): void {
    this.#steps.apply(event);
    this.#waits.apply(event);
  }
}

const stragglersMs = 1_000;
const onceOnly = { maxAttempts: 1, delayMs: 100, maxDelayMs: 60_000 } as const;
