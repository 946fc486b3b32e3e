/** What the README and the pages say of the transports is what was declared and found. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { transportChecks, type CarrierControls, type ConformanceCheck } from "cadre/testing";
import type { Capabilities } from "cadre";
import { brokerSuites } from "../scripts/broker-suites.ts";
import { outcomeOf, readCommitted, reasonOf } from "../scripts/conformance-report.ts";
import type { TransportReport } from "../scripts/conformance-report.ts";
import { transports } from "../scripts/docs-capabilities.ts";
import { conformancePage, guaranteesPage } from "../scripts/docs-guarantees.ts";
import { currentText, expectedText } from "../scripts/docs-pages.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const kept = readCommitted();

/** Controls of every kind: what a check lacks then, it lacks for the transport's own reasons. */
const everything = async (): Promise<never> => {
  throw new Error("nothing is run here");
};
const controls: Required<CarrierControls> = {
  restart: everything,
  cut: everything,
  freeze: everything,
  slow: everything,
  fillDisk: everything,
  jumpClock: () => {},
  startConsumer: everything,
};

for (const page of [guaranteesPage, conformancePage]) {
  test(`${page.path} says what was declared and found`, () => {
    const message = "Run node scripts/docs-guarantees.ts, after npm run conformance where needed.";
    assert.equal(currentText(page), expectedText(page), message);
  });
}

test("every transport has a suite, a column and a report", () => {
  const declared = transports.map(({ name }) => name);
  const suites = brokerSuites.map(({ transport }) => transport);
  assert.deepEqual(suites.toSorted(), declared.toSorted());
  assert.deepEqual(Object.keys(kept).toSorted(), declared.toSorted(), "npm run conformance");
});

/** What the report must say, by what the transport declares; undefined where a caller may excuse. */
function expected(check: ConformanceCheck, capabilities: Capabilities): string | undefined {
  const lack = check.needs?.(capabilities, controls);
  if (typeof lack === "string") return `not applicable: ${lack}`;
  if (lack) return `refused: ${lack.reason}`;
  const emulated = check.emulated?.(capabilities);
  return emulated === undefined ? undefined : `emulated: ${emulated}`;
}

/** Reasons that suites give by themselves stand in their code. */
const sources = globSync("packages/cadre/test/{drivers,faults}/**/*.ts", { cwd: root })
  .map((path) => readFileSync(join(root, path), "utf8"))
  .join("\n");

for (const { name, capabilities } of transports) {
  test(`the report of ${name} has every check, and what ${name} declares`, () => {
    const report: TransportReport | undefined = kept[name];
    assert.ok(report, "npm run conformance");
    const ids = transportChecks.map(({ id }) => id);
    assert.deepEqual(Object.keys(report).toSorted(), ids.toSorted());
    for (const check of transportChecks) {
      const found: string = report[check.id]!;
      const must = expected(check, capabilities);
      const reason = reasonOf(found) ?? "";
      const isExcused =
        outcomeOf(found) === "not applicable" &&
        (reason.startsWith("the caller gave no way") || sources.includes(reason));
      if (isExcused) continue;
      assert.equal(found, must ?? "passed", `${name} ${check.id}`);
    }
  });
}
