import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { memory, memoryCarrier } from "#src/bus/memory-transport.ts";
import type { Transport } from "#src/bus/transport.ts";
import { isCadreError } from "#src/core/errors.ts";
import {
  conformanceReport,
  transportChecks,
  transportConformance,
  type ConformanceReport,
  type TransportConformanceOptions,
} from "#src/testing/transport-conformance.ts";
import { limited } from "../bus/set-up.ts";
import * as brokenTransports from "./broken-transports.ts";

interface Outcome {
  readonly report: ConformanceReport;
  readonly names: readonly string[];
  readonly failed: ReadonlySet<string>;
  readonly passed: ReadonlySet<string>;
}

/** Runs the suite under a runner of its own, all checks at once. */
async function run(
  createTransport: () => Transport,
  options: Partial<TransportConformanceOptions> = {},
): Promise<Outcome> {
  const tests: { readonly name: string; readonly run: () => Promise<void> }[] = [];
  const report = await transportConformance({
    test: (name, body) => tests.push({ name, run: body }),
    createTransport,
    level: "port",
    leaseMs: 50,
    boundMs: 400,
    timeoutMs: 3_000,
    seed: 1,
    ...options,
  });
  await Promise.allSettled(tests.map((each) => each.run()));
  const having = (outcome: string): Set<string> =>
    new Set(report.results.flatMap((result) => (result.outcome === outcome ? [result.id] : [])));
  return {
    report,
    names: tests.map(({ name }) => name),
    failed: having("failed"),
    passed: having("passed"),
  };
}

/**
 * On a transport with one fault, the checks of that fault fail and those that it doesn't touch
 * pass.
 */
async function assertCaught(
  createTransport: () => Transport,
  caught: readonly string[],
  untouched: readonly string[],
): Promise<void> {
  const outcome = await run(createTransport, { only: [...caught, ...untouched] });
  assert.deepEqual([...outcome.failed].toSorted(compare), caught.toSorted(compare));
  assert.deepEqual([...outcome.passed].toSorted(compare), untouched.toSorted(compare));
}

const compare = (left: string, right: string): number => (left < right ? -1 : 1);

test("a transport that forgets every 50th event is caught", async () => {
  await assertCaught(brokenTransports.forgetful(), ["T-1", "T-14", "T-48"], ["T-82"]);
});

test("a transport that takes every event twice is caught", async () => {
  await assertCaught(
    brokenTransports.doubling(),
    ["T-10", "T-13", "T-14", "T-19", "T-22"],
    ["T-9", "T-14b", "T-82"],
  );
});

test("a transport that lets late owners settle is caught", async () => {
  await assertCaught(
    brokenTransports.unfenced(),
    ["T-28", "T-29", "T-30", "T-69b"],
    ["T-1", "T-25", "T-48"],
  );
});

test("a transport whose leases never run out is caught", async () => {
  await assertCaught(brokenTransports.unending(), ["T-30", "T-31b"], ["T-1", "T-32"]);
});

test("a transport that declares order by key and keeps none is caught", async () => {
  await assertCaught(
    brokenTransports.unordered(),
    ["T-27", "T-45b", "T-48b", "T-49", "T-49b"],
    ["T-1", "T-14", "T-25"],
  );
});

test("a transport that does not count attempts is caught", async () => {
  await assertCaught(
    brokenTransports.uncounted(),
    ["T-25", "T-26", "T-30", "T-34", "T-44"],
    ["T-1", "T-32"],
  );
});

test("a transport that gives more than was asked for is caught", async () => {
  await assertCaught(brokenTransports.generous(), ["T-52"], ["T-9", "T-82"]);
});

test("a transport that goes on behind what it refuses is caught", async () => {
  await assertCaught(brokenTransports.heedless(), ["T-8"], ["T-7", "T-9", "T-48"]);
});

test("a sound transport passes, and the report says what did not apply and why", async () => {
  const carrier = memoryCarrier();
  const outcome = await run(() => carrier.connect(), {
    boundMs: 5_000,
    timeoutMs: 20_000,
    leaseMs: 200, // all checks run at once here
    notApplicable: [{ check: "T-82", reason: "the carrier has no health" }],
  });
  assert.deepEqual([...outcome.failed], []);
  const named = outcome.names.find((name) => name.startsWith("T-6 "));
  assert.match(named ?? "", / — not applicable: the carrier declares no durability$/);
  const excused = outcome.report.results.find(({ id }) => id === "T-82");
  assert.equal(excused?.outcome, "not applicable");
  assert.equal(excused?.reason, "the carrier has no health");
  assert.equal(outcome.report.results.length, outcome.names.length, "nothing is left out silently");
  assert.ok(conformanceReport().includes(outcome.report));
  assert.equal(outcome.report.transport, "memory");
});

test("what is not declared is checked to be refused, what the bus does instead is said", async () => {
  const poor = { keyOrder: [], delayedPublish: false, reportsUnroutable: false } as const;
  const make = (): Transport => {
    const transport = memory();
    const capabilities = { ...transport.capabilities, ...poor };
    return limited(transport, capabilities);
  };
  const only = ["T-27", "T-34b", "T-61", "T-1"];
  const { report, names } = await run(make, { only, level: "all", boundMs: 5_000 });
  const found = report.results.toSorted((left, right) => compare(left.id, right.id));
  assert.deepEqual(
    found.map(({ id, outcome, reason }) => [id, outcome, reason]),
    [
      ["T-1", "passed", undefined],
      ["T-27", "refused", "the carrier declares no block order"],
      ["T-34b", "refused", "the carrier delays no events"],
      ["T-61", "emulated", "the request fails at its deadline"],
    ],
  );
  assert.ok(names.some((name) => name.endsWith("— refused: the carrier delays no events")));
});

test("a bus that takes what its carrier does not declare is caught", async () => {
  const carrier = memoryCarrier();
  let probes = 0;
  // The suite asks the first for its capabilities; the bus of the check is told of more.
  const make = (): Transport => {
    const transport = carrier.connect();
    probes += 1;
    return probes > 1 ? transport : limited(transport, { keyOrder: [], delayedPublish: false });
  };
  const { failed } = await run(make, { only: ["T-27", "T-34b"] });
  assert.deepEqual([...failed].toSorted(compare), ["T-27", "T-34b"]);
});

test("where a folder is named, each suite leaves its report there", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "cadre-test-"));
  process.env["CADRE_CONFORMANCE_FOLDER"] = folder;
  t.after(() => {
    delete process.env["CADRE_CONFORMANCE_FOLDER"];
    rmSync(folder, { recursive: true });
  });
  const { report } = await run(() => memory(), { only: ["T-1", "T-9"] });
  const [file, ...others] = readdirSync(folder);
  assert.deepEqual(others, []);
  assert.deepEqual(JSON.parse(readFileSync(join(folder, file!), "utf8")), {
    ...report,
    results: [...report.results],
  });
});

test("a failing check says the seed that repeats it", async () => {
  const failures: Promise<unknown>[] = [];
  await transportConformance({
    test: (_, body) => failures.push(body().catch((error: unknown) => error)),
    createTransport: brokenTransports.uncounted(),
    only: ["T-25"],
    seed: 4_711,
  });
  const [error] = await Promise.all(failures);
  assert.ok(error instanceof Error);
  assert.match(error.message, /CADRE_SEED=4711/);
});

test("a check that never ends fails at its time limit, and what it opened is closed", async () => {
  const carrier = memoryCarrier();
  const opened: Transport[] = [];
  const outcome = await run(() => carrier.connect(), {
    timeoutMs: 30,
    checks: [
      {
        id: "T-1",
        name: "waits for ever",
        level: "port",
        run: async (context) => {
          opened.push(await context.createTransport());
          await new Promise(() => {});
        },
      },
    ],
  });
  assert.deepEqual([...outcome.failed], ["T-1"]);
  assert.deepEqual(await opened[0]?.health?.(), { ok: false, detail: "closed" });
});

test("an unknown check id is refused", async () => {
  const carrier = memoryCarrier();
  for (const options of [
    { only: ["T-999"] },
    { notApplicable: [{ check: "T-36x", reason: "none" }] },
  ]) {
    await assert.rejects(
      run(() => carrier.connect(), options),
      (error: unknown) => isCadreError(error, "INVALID_OPTION"),
    );
  }
});

test("every check has an id of its own, and CONFORMANCE.md lists exactly these", () => {
  const ids = transportChecks.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const page = readFileSync(new URL("../../CONFORMANCE.md", import.meta.url), "utf8");
  const listed = new Map(
    [...page.matchAll(/^\| (T-\d+[a-z]?) \| (port|bus) \| (.*?) \|/gm)].map((row) => [
      row[1]!,
      `${row[2]!} ${row[3]!}`,
    ]),
  );
  // A row that is missing belongs there as: | id | level | name | tier |
  const actual = new Map(transportChecks.map(({ id, level, name }) => [id, `${level} ${name}`]));
  assert.deepEqual(listed, actual);
});
