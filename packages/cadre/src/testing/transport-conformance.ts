/**
 * The suite that every transport must pass, on its real carrier, under the caller's own test
 * runner.
 *
 * Each check becomes one test named `T-31 …`. One that does not apply is registered too, under a
 * name that ends with the reason; one about what the carrier does not declare becomes the check
 * that it is refused.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { secureRandom } from "../core/random.ts";
import type { Capabilities, Transport } from "../bus/transport.ts";
import { busChecks } from "./bus-checks/all.ts";
import { CheckRun } from "./check-run.ts";
import type {
  CarrierControls,
  CheckContext,
  ConformanceCheck,
  Undeclared,
} from "./conformance-check.ts";
import { portChecks } from "./port-checks/all.ts";
import { assertRefused } from "./undeclared.ts";

/** The part of a test runner that the suite uses; `test` of node:test and of vitest fit. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown;

export interface TransportConformanceOptions extends CarrierControls {
  readonly test: TestFunction;
  /** A fresh connection to one and the same carrier each time. The suite closes it. */
  readonly createTransport: () => Transport | Promise<Transport>;
  /** Checks that cannot be made here, each with the reason that its test then shows. */
  readonly notApplicable?: readonly { readonly check: string; readonly reason: string }[];
  /** Ids of the only checks to make. @default all */
  readonly only?: readonly string[];
  /** `faults` are the checks that take long or break things. @default "basic" */
  readonly tier?: "basic" | "faults" | "all";
  /** Whether to drive the port, a bus over it, or both. @default "all" */
  readonly level?: "port" | "bus" | "all";
  /** How often each check is made, side by side. @default 1 */
  readonly parallel?: number;
  /** @default the machine's */
  readonly clock?: Clock;
  /** Lease in milliseconds that the checks ask for. @default 300 */
  readonly leaseMs?: number;
  /** How long a check waits for what should come, in milliseconds. @default 5_000 */
  readonly boundMs?: number;
  /** How long a whole check may take, in milliseconds. @default 60_000 */
  readonly timeoutMs?: number;
  /** @default from `CADRE_SEED`, else drawn */
  readonly seed?: number;
  /** Checks instead of Cadre's own, for a carrier with promises of its own. */
  readonly checks?: readonly ConformanceCheck[];
}

export interface CheckResult {
  readonly id: string;
  readonly name: string;
  readonly level: ConformanceCheck["level"];
  /**
   * `emulated`: it passed, and the bus does what the carrier does not declare. `refused`: it is
   * about what the carrier does not declare, and asking for that is refused with UNSUPPORTED.
   */
  readonly outcome: "passed" | "emulated" | "refused" | "failed" | "not applicable";
  /** Why it failed, does not apply or was refused; what the bus does to emulate it. */
  readonly reason?: string;
  readonly elapsedMs: number;
}

export interface ConformanceReport {
  readonly transport: string;
  readonly capabilities: Capabilities;
  readonly seed: number;
  /** In the order in which the checks ended. */
  readonly results: readonly CheckResult[];
}

const reports: ConformanceReport[] = [];

/**
 * What the suites of this process have found so far: one report for each call of
 * `transportConformance`.
 */
export function conformanceReport(): readonly ConformanceReport[] {
  return reports;
}

/** All checks in the order of their numbers. */
export const transportChecks: readonly ConformanceCheck[] = [...portChecks, ...busChecks].toSorted(
  (left, right) => numberOf(left.id) - numberOf(right.id) || (left.id < right.id ? -1 : 1),
);

function numberOf(id: string): number {
  return Number.parseInt(id.slice(2), 10);
}

/**
 * Registers every check with `test`; await it before the file ends. The report fills while the
 * tests run, and is written to a folder as JSON where `CADRE_CONFORMANCE_FOLDER` names one.
 *
 * @throws {CadreError} INVALID_OPTION, when `only` or `notApplicable` names no check
 */
export async function transportConformance(
  options: TransportConformanceOptions,
): Promise<ConformanceReport> {
  const all = options.checks ?? transportChecks;
  assertKnown(all, [
    ...(options.only ?? []),
    ...(options.notApplicable ?? []).map(({ check }) => check),
  ]);
  const probe = await options.createTransport();
  const { name, capabilities } = probe;
  await probe.close();
  const results: CheckResult[] = [];
  const seed = options.seed ?? seedOfEnvironment() ?? secureRandom.integer(2 ** 32);
  const report: ConformanceReport = { transport: name, capabilities, seed, results };
  reports.push(report);
  const asked = all.filter((check) => isAsked(check, options));
  const record = (result: CheckResult): void => {
    results.push(result);
    if (results.length === asked.length) writeReport(report);
  };
  for (const check of asked) register(check, options, report, record);
  return report;
}

function isAsked(check: ConformanceCheck, options: TransportConformanceOptions): boolean {
  const { tier = "basic", level = "all", only } = options;
  if (only && !only.includes(check.id)) return false;
  if (level !== "all" && check.level !== level) return false;
  return tier === "all" || (check.tier ?? "basic") === tier || only !== undefined;
}

function register(
  check: ConformanceCheck,
  options: TransportConformanceOptions,
  report: ConformanceReport,
  push: (result: CheckResult) => void,
): void {
  const { id, level } = check;
  const excused = options.notApplicable?.find((item) => item.check === id)?.reason;
  const lack = excused ?? check.needs?.(report.capabilities, options);
  const name = `${id} ${check.name}`;
  const record = (outcome: CheckResult["outcome"], elapsedMs: number, why?: string): void => {
    const because = why === undefined ? {} : { reason: why };
    push({ id, name: check.name, level, outcome, elapsedMs, ...because });
  };
  if (typeof lack === "string") {
    options.test(`${name} — not applicable: ${lack}`, async () => {
      record("not applicable", 0, lack);
    });
    return;
  }
  const { made, outcome, reason } = planOf(check, report.capabilities, lack);
  options.test(lack ? `${name} — refused: ${lack.reason}` : name, async () => {
    const clock = options.clock ?? systemClock;
    const startedAt = clock.monotonic();
    const times = Array.from({ length: options.parallel ?? 1 }, (_, round) => round);
    try {
      await Promise.all(
        times.map((round) => new CheckRun(made, options, report, round).complete()),
      );
      record(outcome, clock.monotonic() - startedAt, reason);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      record("failed", clock.monotonic() - startedAt, why);
      throw error;
    }
  });
}

/** What is made of a check on a carrier with these capabilities, and what its success is called. */
function planOf(
  check: ConformanceCheck,
  capabilities: Capabilities,
  lack: Undeclared | undefined,
): { made: ConformanceCheck; outcome: CheckResult["outcome"]; reason: string | undefined } {
  if (lack) {
    const made = { ...check, run: (context: CheckContext) => assertRefused(context, lack.refused) };
    return { made, outcome: "refused", reason: lack.reason };
  }
  const reason = check.emulated?.(capabilities);
  return { made: check, outcome: reason === undefined ? "passed" : "emulated", reason };
}

/** Where `CADRE_CONFORMANCE_FOLDER` names a folder, each suite leaves its report there. */
function writeReport(report: ConformanceReport): void {
  const folder = process.env["CADRE_CONFORMANCE_FOLDER"];
  if (folder === undefined || folder === "") return;
  mkdirSync(folder, { recursive: true });
  const name = `${report.transport}-${process.pid}-${reports.indexOf(report)}.json`;
  writeFileSync(join(folder, name), JSON.stringify(report, undefined, 1));
}

function assertKnown(all: readonly ConformanceCheck[], ids: readonly string[]): void {
  const unknown = ids.find((id) => !all.some((check) => check.id === id));
  if (unknown === undefined) return;
  throw new CadreError(
    "INVALID_OPTION",
    `There is no check "${unknown}". CONFORMANCE.md lists them all.`,
    { option: "check", value: unknown },
  );
}

function seedOfEnvironment(): number | undefined {
  const text = process.env["CADRE_SEED"];
  if (text === undefined || text === "") return undefined;
  const seed = Number(text);
  if (Number.isSafeInteger(seed)) return seed;
  throw new CadreError("INVALID_OPTION", `CADRE_SEED is "${text}". Give a whole number.`, {
    option: "CADRE_SEED",
    value: text,
    from: "environment",
  });
}
