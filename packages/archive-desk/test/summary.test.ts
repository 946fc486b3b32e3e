import assert from "node:assert/strict";
import { test } from "node:test";
import { renderProgress } from "#src/progress-view.ts";
import type { Progress } from "#src/progress-view.ts";
import { renderSummary, summaryJson } from "#src/summary.ts";
import type { Summary } from "#src/summary.ts";

const summary: Summary = {
  documents: 233,
  chunks: 1_206,
  entities: 3_546,
  events: 24_120,
  eventsPerSecond: 301.4567,
  taskP50Ms: 85,
  taskP99Ms: 1_240.26,
  peakMemoryMb: 512,
  diskMb: 41.25,
  tasksLost: 0,
  duplicateEffects: 0,
  kills: 9,
  rejectedLateResults: 2,
  graphHash: "ab".repeat(32),
};
const details = {
  elapsedMs: 125_000,
  mentions: 27_246,
  disagreements: 8_103,
  skippedFiles: 1,
  topNames: [
    { decade: "1860s", names: [{ name: "Mexico", kind: "place", mentions: 27 }] },
    {
      decade: "undated",
      names: Array.from({ length: 12 }, () => ({
        name: "Great Britain",
        kind: "place" as const,
        mentions: 9,
      })),
    },
  ],
} as const;

test("the JSON has exactly its documented keys in their order, whatever the object has", () => {
  const wider = { extra: 1, ...summary };
  assert.deepEqual(Object.keys(summaryJson(wider)), Object.keys(summary));
  assert.equal(summaryJson(summary).eventsPerSecond, 301.5);
});

test("the text fits its columns, has no colour unless asked, and shows the whole hash", () => {
  for (const columns of [60, 80]) {
    const lines = renderSummary(summary, details, { columns });
    assert.ok(lines.every((line) => line.length <= columns && !line.includes("\u001b")));
    assert.ok(lines.join("").replace(/\s+/g, "").includes(summary.graphHash));
  }
  assert.ok(renderSummary(summary, details, { color: true }).join("").includes("\u001b[1m"));
});

test("the text tells what a reader asks first", () => {
  const text = renderSummary(summary, details).join("\n");
  for (const part of [/233 \(1 skipped\)/, /2 min 05 s/, /8,103/, /1860s {4}Mexico 27/]) {
    assert.match(text, part);
  }
});

const progress: Progress = {
  tasksDone: 900,
  tasksTotal: 3_618,
  documentsDone: 60,
  documentsTotal: 233,
  elapsedMs: 30_000,
  tasksPerSecond: 30,
  agents: [
    { name: "reader-compromise-1", status: "working", running: 1, capacity: 2, done: 410 },
    { name: "checker", status: "idle", running: 0, capacity: 4, done: 80, doing: "1863#4" },
  ],
};

test("progress shows the bar, the rate, what is left, and a line an agent", () => {
  assert.deepEqual(renderProgress(progress, 80), [
    "[#########...............................]  24%  900/3,618 tasks",
    "60/233 documents, 30.0 tasks/s, 30.0 s, 90.6 s left",
    "  reader-compromise-1 [= ]       working      410 done",
    "  checker             [    ]     idle          80 done  1863#4",
  ]);
});

test("progress fits a narrow terminal, and knows nothing planned and all done", () => {
  assert.ok(renderProgress(progress, 30).every((line) => line.length <= 30));
  const nothing = { ...progress, tasksDone: 0, tasksTotal: 0, tasksPerSecond: 0, agents: [] };
  assert.match(renderProgress(nothing, 80)[0] ?? "", /\]   0%  0\/0 tasks$/);
  const done = renderProgress({ ...progress, tasksDone: 3_618 }, 80);
  assert.match(done[0] ?? "", /^\[#{40}\] 100%/);
  assert.doesNotMatch(done[1] ?? "", /left/);
});
