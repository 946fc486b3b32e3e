/**
 * The table of guarantees in the README and the page of what the suite found, from what the
 * transports declare and from docs/reference/conformance.json.
 */
import type { Capabilities } from "cadre";
import { transportChecks } from "cadre/testing";
import { countsOf, outcomeOf, outcomes, readCommitted, reasonsOf } from "./conformance-report.ts";
import { transports } from "./docs-capabilities.ts";
import { type MadePage, table, writeIfMain } from "./docs-pages.ts";

const carriers: Readonly<Record<string, string>> = {
  memory: "the process",
  sqlite: "one file, WAL",
  postgres: "one schema of a database",
  nats: "JetStream",
  redis: "Streams",
  rabbitmq: "quorum queues, streams for history",
  kafka: "topics and consumer groups",
  eventbridge: "EventBridge out, SQS in",
};

/** What a user may set on the server or the transport, beside the default that is shown. */
const durableNotes: Readonly<Record<string, string>> = {
  nats: "; power loss where it syncs always",
  redis: " with `appendfsync always`",
};

const survives = { no: "nothing", process: "SIGKILL of the server", disk: "power loss" } as const;
const histories = { none: "none", ring: "the last events", log: "all that is kept" } as const;
const orders = { total: "total", partition: "in each partition", none: "none" } as const;

const yes = (value: boolean): string => (value ? "yes" : "no");

type Row = readonly [string, (capabilities: Capabilities, transport: string) => string];

const rows: readonly Row[] = [
  ["carried by", (_, name) => carriers[name] ?? ""],
  [
    "a resolved publish survives",
    ({ durable }, name) => `${survives[durable]}${durableNotes[name] ?? ""}`,
  ],
  ["groups survive a restart", ({ durableGroups }) => yes(durableGroups)],
  [
    "effects, held-back events and settling",
    ({ effects }) => (effects === "once" ? "one transaction" : "with a store: effects once"),
  ],
  ["history and replay", ({ history }) => histories[history]],
  ["order", ({ order }) => orders[order]],
  [
    "order per key, under retry",
    ({ keyOrder }) => (keyOrder.length === 0 ? "refused" : keyOrder.join(", ")),
  ],
  ["delayed publish", ({ delayedPublish }) => (delayedPublish ? "yes" : "refused")],
  ["a backlog by priority", ({ priorities }) => yes(priorities)],
];

const kept = readCommitted();

function verdict(transport: string): string {
  const report = kept[transport];
  if (report === undefined) return "not run";
  const counts = countsOf(report);
  return outcomes.map((outcome) => `${counts[outcome]} ${outcome}`).join(", ");
}

/** The README's table. */
export const guaranteesPage: MadePage = {
  path: "README.md",
  made: table(
    ["", ...transports.map(({ name }) => name)],
    [
      ...rows.map(([head, cell]) => [
        head,
        ...transports.map(({ name, capabilities }) => cell(capabilities, name)),
      ]),
      [
        `of ${transportChecks.length} checks on the real server (eventbridge: on moto)`,
        ...transports.map(({ name }) => verdict(name)),
      ],
    ],
  ),
};

const marks = {
  passed: "✓",
  emulated: "e",
  refused: "r",
  "not applicable": "–",
  failed: "✗",
} as const;

function summary(): string {
  return table(
    ["transport", ...outcomes],
    Object.entries(kept).map(([transport, report]) => {
      const counts = countsOf(report);
      return [transport, ...outcomes.map((outcome) => String(counts[outcome]))];
    }),
  );
}

function everyCheck(): string {
  const names = Object.keys(kept);
  return table(
    ["check", ...names, "shows that"],
    transportChecks.map(({ id, name }) => [
      id,
      ...names.map((transport) => {
        const found = kept[transport]?.[id];
        return found === undefined ? "" : marks[outcomeOf(found)];
      }),
      name,
    ]),
  );
}

function everyReason(): string {
  return Object.entries(kept)
    .flatMap(([transport, report]) =>
      [...reasonsOf(report)].map(([found, ids]) => `- ${transport}: ${ids.join(", ")} ${found}.`),
    )
    .join("\n");
}

/** The page of results. */
export const conformancePage: MadePage = {
  path: "docs/reference/conformance.md",
  made: [summary(), "## Every check", everyCheck(), "## Reasons", everyReason()].join("\n\n"),
};

writeIfMain(guaranteesPage, import.meta.url);
writeIfMain(conformancePage, import.meta.url);
