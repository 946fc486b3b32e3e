/** What pages say of the library is what the library says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { builtinEvents, memory } from "cadre";
import { capabilitiesPage } from "../scripts/docs-capabilities.ts";
import { eventsPage } from "../scripts/docs-events.ts";
import { currentText, expectedText, table } from "../scripts/docs-pages.ts";

test("the page of events is current", () => {
  assert.equal(
    currentText(eventsPage),
    expectedText(eventsPage),
    "Run node scripts/docs-events.ts.",
  );
});

test("every built-in event has its row", () => {
  for (const { type } of builtinEvents.list()) {
    assert.ok(eventsPage.made.includes(`\n| \`${type}\` |`), type);
  }
});

test("the page of capabilities is current", () => {
  const message = "Run node scripts/docs-capabilities.ts.";
  assert.equal(currentText(capabilitiesPage), expectedText(capabilitiesPage), message);
});

test("every capability has its row", () => {
  for (const name of Object.keys(memory().capabilities)) {
    assert.ok(capabilitiesPage.made.includes(`\n| \`${name}\` |`), name);
  }
});

test("a bar in a cell of a table does not end the cell", () => {
  assert.equal(table(["a"], [["x | y"]]), "| a |\n|---|\n| x \\| y |");
});
