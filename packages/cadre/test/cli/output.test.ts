import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";

import { createEvent, SeededRandom, VirtualClock } from "cadre";
import { eventLine } from "#src/cli/event-line.ts";
import { Output } from "#src/cli/output.ts";
import { isShortOf } from "#src/cli/short-id.ts";
import { tableLines } from "#src/cli/table.ts";
import { fit, harmless, widthOf, wrap } from "#src/cli/text-width.ts";
import { durationText, parseInstant } from "#src/cli/time-text.ts";

function terminal(columns: number | undefined, env: Record<string, string> = {}): Output {
  const sink = Object.assign(new Writable({ write: (_chunk, _encoding, done) => done() }), {
    isTTY: columns !== undefined,
    columns,
  });
  return new Output({ out: sink, err: sink, env });
}

test("a text is cut at its end, its start or its middle, never through a wide character", () => {
  assert.equal(fit("orchestrator", 6), "orche…");
  assert.equal(fit("orchestrator", 6, "end"), "…rator");
  assert.equal(fit("orchestrator", 7, "both"), "orc…tor");
  assert.equal(fit("short", 5), "short");
  assert.equal(fit("two\nlines", 20), "two\\nlines");
  assert.equal(widthOf("日本"), 4);
  assert.equal(fit("日本語", 4), "日…");
  assert.equal(fit("anything", 0), "");
});

test("control characters are shown, not obeyed", () => {
  assert.equal(harmless("\u001b[2Jgone\u009b1m\r\u202e"), "\\u001b[2Jgone\\u009b1m\\u000d\\u202e");
});

test("text is folded at spaces, and within a word that is longer than the line", () => {
  assert.equal(wrap("one two three", 7), "one two\nthree");
  assert.equal(wrap("abcdefghij kl", 5), "abcde\nfghij\nkl");
  assert.equal(wrap("as it is", Infinity), "as it is");
});

test("a table gives in at its widest columns, and leaves out what needs more room", () => {
  const columns = [
    { title: "id", text: (row: string) => `${row}-0123456789`, keep: "end" as const, least: 6 },
    { title: "n", text: () => "7", align: "right" as const },
    { title: "wide", text: () => "only on wide ones", from: 60 },
    { title: "what", text: () => "a long meaning of this row", least: 6 },
  ];
  assert.deepEqual(tableLines(terminal(24), columns, ["ada"]), [
    "\u001b[2mid         n  what\u001b[22m",
    "…23456789  7  a long me…",
  ]);
  const [, whole] = tableLines(terminal(undefined), columns, ["ada"]);
  assert.equal(whole, "ada-0123456789  7  only on wide ones  a long meaning of this row");
});

test("an event takes one line of the terminal's width", () => {
  const clock = new VirtualClock();
  const context = { clock, random: new SeededRandom(1), source: "reader" };
  const event = createEvent(context, "task.progress.of.a.very.long.kind", {
    note: "語".repeat(40),
  });
  for (const columns of [20, 40, 60, 100, 200]) {
    const line = eventLine(terminal(columns, { NO_COLOR: "1" }), event, clock.now());
    assert.ok(widthOf(line) <= columns, line);
  }
  assert.match(eventLine(terminal(undefined), event, clock.now()), /語{40}"}$/);
});

test("colour is for terminals alone, and NO_COLOR and TERM=dumb turn it off", () => {
  assert.equal(terminal(80).style("red", "no"), "\u001b[31mno\u001b[39m");
  assert.equal(terminal(80, { NO_COLOR: "1" }).style("red", "no"), "no");
  assert.equal(terminal(80, { TERM: "dumb" }).style("red", "no"), "no");
  assert.equal(terminal(undefined, { FORCE_COLOR: "1" }).style("red", "no"), "no");
});

test("the width is the terminal's, else COLUMNS, else none", () => {
  assert.equal(terminal(60).width, 60);
  assert.equal(terminal(undefined, { COLUMNS: "72" }).width, 72);
  assert.equal(terminal(undefined).width, Infinity);
  assert.equal(terminal(undefined, { COLUMNS: "wide" }).width, Infinity);
});

test("instants are read as an age, an ISO time or milliseconds", () => {
  const now = 1_700_000_000_000;
  assert.equal(parseInstant("--since", "90s", now), now - 90_000);
  assert.equal(parseInstant("--since", "1.5h", now), now - 5_400_000);
  assert.equal(parseInstant("--since", "2023-11-14T00:00Z", now), Date.UTC(2023, 10, 14));
  assert.equal(parseInstant("--since", "1700000000001", now), now + 1);
  for (const text of ["yesterday", "5", "10 m", "-3s", ""]) {
    assert.throws(() => parseInstant("--since", text, now), { code: "INVALID_OPTION" });
  }
  assert.deepEqual([900, 5_000, 300_000, 9e6, 2e8].map(durationText), [
    "900 ms",
    "5 s",
    "5 min",
    "3 h",
    "2 d",
  ]);
});

test("a cut id stands for the ids that it can be", () => {
  assert.ok(isShortOf("…789", "123456789"));
  assert.ok(isShortOf("12…89", "123456789"));
  assert.ok(isShortOf("123", "123456789"));
  assert.ok(!isShortOf("456", "123456789"));
  assert.ok(!isShortOf("13…89", "123456789"));
});
