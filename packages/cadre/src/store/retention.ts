/**
 * Retention: removes from the log what its rules say, and nothing that somebody still needs.
 *
 *   lease ─▶ holds ─▶ plan of each rule ─▶ some rows and their record in one commit ─▶ … ─▶ report
 *
 * Every removal is an event of the log, in the stream `audit/removals`, and is sealed like all
 * others: an audit tells it from tampering. Only what is sealed is removed where the log is sealed.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError, describeError, isCadreError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { silentLogger } from "../core/logger.ts";
import { secureRandom, type Random } from "../core/random.ts";
import { maxRemovals } from "./check-commit.ts";
import type { EventStore, Hold, LogPosition } from "./event-store.ts";
import { HeldPlaces, readHolds } from "./holds.ts";
import { createLeases, type HeldLease } from "./lease.ts";
import { removalEvent, removalStream } from "./removal-record.ts";
import { planRule, type StreamGuard } from "./retention-plan.ts";
import { checkRule, ruleText, type RetentionRule } from "./retention-rule.ts";

const defaults = {
  maxRows: 10_000,
  everyMs: 3_600_000,
};
const batchRows = 250; // rows removed in one commit: a few milliseconds
const leaseMs = 300_000; // reading a long log takes minutes, and nothing waits for the next run

export interface RetentionOptions {
  readonly store: EventStore;
  /** One after the other; what one removes, the next does not count again. */
  readonly rules: readonly RetentionRule[];
  /**
   * Streams that go whole and only when they are finished; `teamStreams` of `cadre/agents` for a
   * team's tasks and features. @default none
   */
  readonly guards?: readonly StreamGuard[];
  /** What else is needed, such as row projections in a database of yours. @default nothing */
  readonly holds?: () => Promise<readonly Hold[]> | readonly Hold[];
  /** Rows that one run removes at most; the next run goes on. @default 10_000 */
  readonly maxRows?: number;
  /** Removes nothing, and reports what would go. @default false */
  readonly dryRun?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

export interface RuleReport {
  readonly rule: string;
  /** Events that the rule is about. */
  readonly matched: number;
  /** Removed; in a dry run, those that would be. */
  readonly removed: number;
  /** Over a limit, and needed by somebody. */
  readonly held: number;
}

export interface RetentionReport {
  readonly rules: readonly RuleReport[];
  readonly removed: number;
  /** There was more to remove than one run does. */
  readonly isCutShort: boolean;
  /** Who needs everything after which position. */
  readonly holds: readonly { readonly by: string; readonly after: LogPosition }[];
}

/**
 * Runs the rules once.
 *
 * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN
 * @throws {CadreError} WRONG_STATE, when another run is on; LEASE_LOST, when it took too long
 */
export async function runRetention(options: RetentionOptions): Promise<RetentionReport> {
  const rules = options.rules.map(checkRule);
  const { store, clock = systemClock, random = secureRandom } = options;
  if (options.dryRun) return follow(rules, options, undefined);
  const request = {
    name: "retention",
    owner: `retention/${random.id(clock.now())}`,
    ttlMs: leaseMs,
  };
  const lease = await createLeases({ store, clock }).tryAcquire(request);
  if (!lease) {
    throw new CadreError("WRONG_STATE", "Another run of retention is on. Wait for its end.", {
      what: "retention",
      state: "running",
    });
  }
  try {
    return await follow(rules, options, lease);
  } finally {
    await lease.release();
  }
}

async function follow(
  rules: readonly RetentionRule[],
  options: RetentionOptions,
  lease: HeldLease | undefined,
): Promise<RetentionReport> {
  const { store, clock = systemClock, guards = [] } = options;
  const maxRows = options.maxRows ?? defaults.maxRows;
  const holds = [...(await readHolds(store)), ...((await options.holds?.()) ?? [])];
  const held = new HeldPlaces(holds);
  const now = (await store.now?.()) ?? clock.now();
  const taken = new Set<LogPosition>();
  const reports: RuleReport[] = [];
  let isCutShort = false;
  for (const rule of rules) {
    const plan = await planRule(rule, { store, now, held, guards, taken, maxRows });
    await lease?.renew();
    if (lease) await remove(plan.units, ruleText(rule), options, lease);
    const { matched, units } = plan;
    const removed = units.reduce((sum, unit) => sum + unit.length, 0);
    reports.push({ rule: ruleText(rule), matched, removed, held: plan.held });
    isCutShort ||= plan.isCutShort;
  }
  return {
    rules: reports,
    removed: taken.size,
    isCutShort,
    holds: holds
      .filter(({ after }) => after < Number.MAX_SAFE_INTEGER)
      .map(({ by, after }) => ({ by, after })),
  };
}

async function remove(
  units: readonly (readonly LogPosition[])[],
  rule: string,
  { clock = systemClock, random = secureRandom }: RetentionOptions,
  lease: HeldLease,
): Promise<void> {
  const context = { clock, random, source: "retention" };
  for (const removals of batchesOf(units)) {
    const record = removalEvent(context, rule, removals);
    await lease.commit({
      appends: [{ stream: removalStream, expectedVersion: "any", events: [record], private: true }],
      removals,
    });
    await clock.yield();
  }
}

/** Places in ascending order. A unit is never split, unless it is larger than any commit may be. */
function* batchesOf(units: readonly (readonly LogPosition[])[]): Iterable<readonly LogPosition[]> {
  let batch: LogPosition[] = [];
  for (const unit of units) {
    if (batch.length > 0 && batch.length + unit.length > batchRows) {
      yield batch.toSorted(ascending);
      batch = [];
    }
    batch = [...batch, ...unit];
    for (; batch.length > maxRemovals; batch = batch.slice(maxRemovals)) {
      yield batch.slice(0, maxRemovals);
    }
  }
  if (batch.length > 0) yield batch.toSorted(ascending);
}

function ascending(one: number, two: number): number {
  return one - two;
}

export interface RunningRetention {
  /** Of the last run that ended well. */
  readonly report: RetentionReport | undefined;
  /** Why the last run did not. */
  readonly error: unknown;
  /** Ends after the run in hand. Closing twice is allowed. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Runs the rules from time to time, the first time at once. Any number of processes may: one runs
 * at a time.
 *
 * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN
 */
export function startRetention(
  options: Omit<RetentionOptions, "dryRun"> & {
    /** From the end of one run to the next, in milliseconds. @default 3_600_000 */
    readonly everyMs?: number;
  },
): RunningRetention {
  const { everyMs = defaults.everyMs, ...rest } = options;
  const { clock = systemClock, logger = silentLogger } = options;
  rest.rules.forEach(checkRule);
  let report: RetentionReport | undefined;
  let failure: unknown;
  let isClosed = false;
  let cancel = (): void => {};
  let running: Promise<void> = Promise.resolve();
  const run = (): void => {
    running = runRetention(rest)
      .then((done) => {
        report = done;
        failure = undefined;
      })
      .catch((error: unknown) => {
        failure = error;
        if (isCadreError(error, "WRONG_STATE")) return; // another process's turn
        logger.warn("Retention failed; it is tried again.", {
          error: describeError(error).message,
        });
      })
      .then(() => {
        const delayMs = report?.isCutShort && failure === undefined ? restMs : everyMs;
        if (!isClosed) cancel = clock.after(delayMs, run, { background: true });
      });
  };
  const close = async (): Promise<void> => {
    isClosed = true;
    cancel();
    await running;
  };
  run();
  return {
    get report() {
      return report;
    },
    get error() {
      return failure;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

const restMs = 1_000; // between two runs where there is more to remove: others write, too
