import { decodeEvent } from "../core/codec/json.ts";
import { CadreError, describeError, isCadreError, type ErrorCode } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { readBacklog, stuckAfter } from "./outbox-backlog.ts";
import type { OutboxRelay, OutboxRelayContext, OutboxRelayStatus } from "./outbox-relay.ts";
import { ClaimRaced, OutboxRows, type Claim, type OutboxRow } from "./outbox-rows.ts";
import { channelOf } from "./outbox.ts";

const renewalsPerLease = 3; // two may fail before the claim is lost
const rowsPerCleaning = 1_024;
const maxErrorLength = 1_000; // what a person reads of it
const raceYields = 3; // claims that collide with a person's change; rare, so soon again

const encoder = new TextEncoder();

/** Rows of one key, or one row without a key, the next one first. */
type Lane = OutboxRow[];

interface Wave {
  readonly row: OutboxRow;
  readonly lane: Lane;
  readonly event: AgentEvent | undefined;
  readonly error?: unknown;
}

/** One running relay; `outbox-relay.ts` draws what it does. */
export class OutboxRelayRun implements OutboxRelay {
  readonly #context: OutboxRelayContext;
  readonly #rows: OutboxRows;
  readonly #owner: string;
  readonly #stopping = new AbortController();
  readonly #forgetWake: () => void;
  #loop: Promise<void> = Promise.resolve();
  #phase: OutboxRelayStatus["phase"] = "running";
  #claims = 0;
  #published = 0;
  #refused = 0;
  #lost = 0;
  #cleaned = 0;
  /** What the bus said last, until it takes an event again. */
  #refusal: unknown;
  /** Why the last look at the database failed. */
  #failure: unknown;
  #cleanAt = 0;
  /** A claim that could not be given back yet. */
  #owed: Claim | undefined;
  #stopListening: (() => Promise<void>) | undefined;
  #listenAt = 0;
  #woken = false;
  #wake: () => void = () => {};

  constructor(context: OutboxRelayContext) {
    this.#context = context;
    const { client, outbox, clock, random } = context;
    this.#rows = new OutboxRows(client, outbox.table, clock);
    this.#owner = random.id(clock.now());
    this.#forgetWake = outbox.onWake(() => this.wake());
  }

  start(): void {
    this.#loop = this.#run();
  }

  async status(): Promise<OutboxRelayStatus> {
    const { client, outbox } = this.#context;
    let error = this.#failure ?? this.#refusal;
    const backlog = await readBacklog(client, outbox.table).catch((failure: unknown) => {
      error = failure;
      return undefined;
    });
    return {
      phase: this.#phase,
      published: this.#published,
      refused: this.#refused,
      lost: this.#lost,
      cleaned: this.#cleaned,
      ...(backlog ? { backlog } : {}),
      ...(error === undefined ? {} : { error }),
    };
  }

  wake(): void {
    this.#woken = true;
    this.#wake();
  }

  async idle(): Promise<void> {
    const { client, outbox, clock, minPollMs } = this.#context;
    while ((await readBacklog(client, outbox.table)).waiting > 0) {
      if (this.#phase === "closed") {
        throw new CadreError("CLOSED", "The outbox's relay is closed.", { what: "outbox relay" });
      }
      await clock.sleep(minPollMs);
    }
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#forgetWake();
    this.wake();
    await this.#loop;
    const stop = this.#stopListening;
    this.#stopListening = undefined;
    await stop?.();
    this.#phase = "closed";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    const { minPollMs, pollMs, minRetryMs, maxRetryMs } = this.#context;
    let idleMs = minPollMs;
    let troubleMs = minRetryMs;
    while (!this.#stopped) {
      this.#woken = false;
      try {
        const progress = await this.#turn();
        this.#failure = undefined;
        if (progress === "refused") {
          // The bus takes nothing: every other row would only be refused as well.
          await this.#pause(troubleMs);
          troubleMs = Math.min(2 * troubleMs, maxRetryMs, pollMs);
          continue;
        }
        troubleMs = minRetryMs;
        if (progress === "some") idleMs = minPollMs;
        else if (await this.#untilWoken(idleMs)) idleMs = minPollMs;
        else idleMs = Math.min(2 * idleMs, pollMs);
      } catch (error) {
        this.#trouble(error);
        await this.#pause(troubleMs);
        troubleMs = Math.min(2 * troubleMs, maxRetryMs);
      }
    }
    if (this.#owed) await this.#giveBack(this.#owed).catch((error) => this.#trouble(error));
  }

  /** Looks, and publishes what it could claim. */
  async #turn(): Promise<"some" | "none" | "refused"> {
    await this.#listen();
    if (this.#owed) await this.#giveBack(this.#owed);
    const claim = await this.#claim();
    const outcome = claim ? await this.#serve(claim) : "none";
    await this.#clean();
    return outcome;
  }

  async #claim(): Promise<Claim | undefined> {
    const { leaseMs, maxKeys, maxRows } = this.#context;
    for (let tries = 0; ; tries += 1) {
      const token = `${this.#owner}/${++this.#claims}`;
      try {
        return await this.#rows.claim({ token, leaseMs, maxHeads: maxKeys, maxRows });
      } catch (error) {
        if (!(error instanceof ClaimRaced) || tries === raceYields) throw error;
      }
    }
  }

  async #serve(claim: Claim): Promise<"some" | "refused"> {
    const { clock, leaseMs } = this.#context;
    const renewMs = leaseMs / renewalsPerLease;
    let renewAt = clock.monotonic() + renewMs;
    const left = new Map(claim.rows.map((row) => [row.position, row]));
    this.#owed = claim; // should the database fail midway
    let lanes = lanesOf(claim.rows);
    let progress = 0;
    while (lanes.length > 0 && !this.#stopped) {
      if (clock.monotonic() >= renewAt) {
        const rest = { token: claim.token, rows: [...left.values()] };
        if (!(await this.#rows.renew(rest, leaseMs))) break;
        renewAt = clock.monotonic() + renewMs;
      }
      const wave = await this.#send(lanes);
      const sent = wave.filter(({ error }) => error === undefined).map(({ row }) => row);
      const kept = await this.#rows.published(claim.token, sent);
      this.#published += sent.length;
      if (sent.length > 0) this.#refusal = undefined;
      this.#lost += sent.length - kept;
      for (const row of sent) left.delete(row.position);
      // What can never be published says nothing about the bus.
      progress += sent.length + (await this.#refuse(claim.token, wave));
      for (const { row, error } of wave) if (error !== undefined) left.delete(row.position);
      this.#owed = { token: claim.token, rows: [...left.values()] };
      if (kept < sent.length) break; // the claim has run out: others have what is left
      lanes = wave.filter(({ error }) => error === undefined).map(({ lane }) => lane.slice(1));
      lanes = lanes.filter((lane) => lane.length > 0);
    }
    await this.#giveBack({ token: claim.token, rows: [...left.values()] });
    return progress > 0 || this.#stopped ? "some" : "refused";
  }

  /** Publishes the first row of each lane. */
  async #send(lanes: readonly Lane[]): Promise<readonly Wave[]> {
    const wave = lanes.map((lane): Wave => {
      const row = lane[0]!; // lanes are not empty
      try {
        return { row, lane, event: decodeEvent(encoder.encode(row.event), { maxBytes: Infinity }) };
      } catch (error) {
        return { row, lane, event: undefined, error };
      }
    });
    const events = wave.flatMap(({ event }) => event ?? []);
    const results = await this.#context
      .publish(events)
      .catch((error: unknown) => events.map(() => ({ error })));
    let index = 0;
    return wave.map((each) => {
      const refusal = each.event ? results[index++] : undefined;
      // Whoever rejects without a reason has refused all the same.
      return refusal ? { ...each, error: refusal.error ?? new Error("no reason") } : each;
    });
  }

  /** Returns how many of the refusals are for ever. */
  async #refuse(token: string, wave: readonly Wave[]): Promise<number> {
    const { isPoison, onPoison, minRetryMs, maxRetryMs } = this.#context;
    const refused = wave.filter(({ error }) => error !== undefined);
    let forEver = 0;
    for (const { row, error } of refused) {
      const attempts = row.attempts + 1;
      const poison = isPoison(error, attempts);
      if (poison) forEver += 1;
      const aside = onPoison === "set-aside" && poison;
      const pauseMs = Math.min(maxRetryMs, minRetryMs * 2 ** Math.min(row.attempts, 30));
      const { name, message, code } = describeError(error);
      const text = `${code ?? name}: ${message}`.slice(0, maxErrorLength).replaceAll("\0", "");
      await this.#rows.refused(token, row, { error: text, pauseMs, aside });
    }
    this.#refused += refused.length;
    this.#tell(refused);
    return forEver;
  }

  /** One record for a wave that was refused, and one for each row when it becomes stuck. */
  #tell(refused: readonly Wave[]): void {
    const { raise, logger, isPoison, onPoison } = this.#context;
    const [first] = refused;
    if (!first) return;
    this.#refusal = first.error;
    const told = refused.filter(({ row, error }, index) => {
      const attempts = row.attempts + 1;
      return index === 0 || attempts === stuckAfter || isPoison(error, attempts);
    });
    for (const { row, event, error } of told) {
      const attempts = row.attempts + 1;
      const poison = isPoison(error, attempts);
      const { message } = describeError(error);
      const does =
        poison && onPoison === "set-aside" ? "has set it aside" : "keeps its key and tries again";
      const what = `${row.type} ${row.id}`;
      const text = `The outbox's relay cannot publish ${what} and ${does}: ${message}`;
      const fields = { position: row.position, id: row.id, attempts, error: message };
      const severe = poison || attempts >= stuckAfter;
      if (severe) logger.error("the outbox's relay is stuck at a row", fields);
      else logger.warn("the outbox's relay is refused and tries again", fields);
      const code: ErrorCode = isCadreError(error) ? error.code : "RETRYABLE";
      const severity = severe ? "error" : "warning";
      raise({ severity, code, message: text, cause: error, ...(event ? { event } : {}) });
    }
  }

  async #giveBack(claim: Claim): Promise<void> {
    await this.#rows.release(claim.token, claim.rows);
    this.#owed = undefined;
  }

  async #clean(): Promise<void> {
    const { clock, keepPublishedMs, cleanEveryMs } = this.#context;
    if (clock.monotonic() < this.#cleanAt) return;
    const cleaned = await this.#rows.clean(keepPublishedMs, rowsPerCleaning);
    this.#cleaned += cleaned;
    // A full batch: there is more.
    this.#cleanAt = cleaned === rowsPerCleaning ? 0 : clock.monotonic() + cleanEveryMs;
  }

  /** Where the database tells of commits; polling finds what it forgets to tell. */
  async #listen(): Promise<void> {
    const { client, outbox, clock, pollMs, logger } = this.#context;
    if (!client.listen || this.#stopListening || clock.monotonic() < this.#listenAt) return;
    this.#listenAt = clock.monotonic() + pollMs;
    let gone = false;
    const lost = (): void => {
      gone = true;
      this.#stopListening = undefined;
    };
    try {
      const stop = await client.listen(channelOf(outbox.table), () => this.wake(), lost);
      if (!gone) this.#stopListening = stop;
    } catch (error) {
      const fields = { error: describeError(error).message };
      logger.warn("the outbox's relay cannot listen, and polls", fields);
    }
  }

  #trouble(error: unknown): void {
    this.#failure = error;
    const fields = { error: describeError(error).message };
    this.#context.logger.warn("the outbox's relay cannot use the database", fields);
  }

  /** True when woken before `ms` are over. */
  #untilWoken(ms: number): Promise<boolean> {
    if (this.#woken || this.#stopped) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (woken: boolean): void => {
        cancel();
        this.#wake = () => {};
        resolve(woken);
      };
      const cancel = this.#context.clock.after(ms, () => end(false));
      this.#wake = () => end(true);
    });
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.#context.clock.sleep(ms, this.#stopping.signal);
    } catch {
      // Closed meanwhile; the loop sees it.
    }
  }
}

function lanesOf(rows: readonly OutboxRow[]): Lane[] {
  const lanes: Lane[] = [];
  const byKey = new Map<string, Lane>();
  for (const row of rows) {
    const lane = row.key === undefined ? undefined : byKey.get(row.key);
    if (lane) lane.push(row);
    else {
      const begun = [row];
      lanes.push(begun);
      if (row.key !== undefined) byKey.set(row.key, begun);
    }
  }
  return lanes;
}
