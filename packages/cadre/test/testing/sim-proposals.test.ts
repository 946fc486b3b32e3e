/** What must hold of proposals, and that a log which breaks it is found. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { createEvent, SeededRandom, type StoredEvent } from "cadre";
import { VirtualClock } from "cadre/testing";
import { checkLog } from "#src/testing/sim-invariants.ts";

type Said = readonly [type: string, payload: Readonly<Record<string, unknown>>];

const opened: Said = [
  "action.proposed",
  {
    proposalId: "p",
    contentHash: "h1",
    author: "author",
    lineage: ["author"],
    taskId: "t",
    mode: "approve",
    quorum: 2,
    rules: [],
    deadlineAt: 1_000,
  },
];
const vote = (voter: string, more: Readonly<Record<string, unknown>> = {}): Said => [
  "action.voted",
  { proposalId: "p", voter, verdict: "approve", contentHash: "h1", weight: 1, ...more },
];
const approved: Said = ["action.approved", { proposalId: "p", voter: "b" }];

function violationsOf(said: readonly Said[]): readonly string[] {
  const context = { clock: new VirtualClock(0), random: new SeededRandom(1), source: "test" };
  const log = said.map(([type, payload], index): StoredEvent => ({
    position: index + 1,
    event: createEvent(context, type, payload),
    stream: type === "task.claimed" ? "other/x" : "proposal/p",
    version: index + 1,
    recordedAt: index,
  }));
  return checkLog(log).violations.map(({ message }) => message);
}

test("two approvals of a quorum of two are in order, and what comes late is too", () => {
  const late = vote("c", { late: true });
  assert.deepEqual(violationsOf([opened, vote("a"), vote("b"), approved, late]), []);
});

for (const [what, said, found] of [
  [
    "a second outcome",
    [opened, vote("a"), vote("b"), approved, ["action.expired", {}]],
    /2 outcomes/,
  ],
  ["an approval without a quorum", [opened, vote("a"), approved], /without a quorum/],
  ["one voter twice", [opened, vote("a"), vote("a"), approved], /without a quorum/],
  ["the author's own vote", [opened, vote("author"), vote("b"), approved], /has worked on it/],
  [
    "the vote of who has claimed the task",
    [["task.claimed", { taskId: "t", agent: "a" }], opened, vote("a"), vote("b"), approved],
    /vote of a counted/,
  ],
  [
    "votes on what was edited since",
    [
      opened,
      vote("a"),
      ["action.amended", { contentHash: "h2", by: "c" }],
      vote("b", { contentHash: "h2" }),
      approved,
    ],
    /without a quorum/,
  ],
  [
    "one ballot counted twice",
    [opened, vote("a", { ballot: "x" }), vote("a", { ballot: "x" }), vote("b"), approved],
    /ballot x was counted 2 times/,
  ],
  [
    "a late vote that is not called so",
    [opened, vote("a"), vote("b"), approved, vote("c")],
    /not called late/,
  ],
  [
    "a veto that nobody gave",
    [opened, vote("a"), ["action.vetoed", { voter: "a" }]],
    /nobody was against/,
  ],
] as readonly (readonly [string, readonly Said[], RegExp])[]) {
  test(`${what} is found`, () => {
    assert.match(violationsOf(said).join("\n"), found);
  });
}
