/** The page about wire formats has every name, and no other. `CADRE_WRITE_DOCS=1` writes them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { legacyNames, wireFormatNames } from "cadre";

const page = new URL("../../../../../docs/reference/wire-formats.md", import.meta.url);
const head = "| older name | event type |\n|---|---|\n";

test("the page about wire formats has the table of names that the code has", () => {
  const rows = Object.entries(legacyNames).map(([type, name]) => `| \`${name}\` | \`${type}\` |\n`);
  const text = readFileSync(page, "utf8");
  const before = text.slice(0, text.indexOf(head) + head.length);
  const wanted = before + rows.join("");
  if (process.env["CADRE_WRITE_DOCS"] === "1") writeFileSync(page, wanted);
  else assert.equal(text, wanted, "run this test with CADRE_WRITE_DOCS=1");
});

test("the page about wire formats has a row for each format", () => {
  const text = readFileSync(page, "utf8");
  for (const name of wireFormatNames) assert.match(text, new RegExp(`^\\| \`${name}\` \\|`, "m"));
});
