/** Every rule of scripts/tidy finds what it is there for, and lets its neighbour pass. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { codeBlocks } from "../scripts/tidy/code-blocks.ts";
import { checkFloors, checkPublicBorder } from "../scripts/tidy/floors.ts";
import {
  checkComments,
  checkDebugging,
  checkMachinePaths,
  checkTestSwitches,
} from "../scripts/tidy/left-overs.ts";
import { promisedOutput } from "../scripts/tidy/output-comment.ts";
import { checkPorts } from "../scripts/tidy/ports.ts";
import { checkFileSize, checkFunctionSizes, checkLineWidth } from "../scripts/tidy/sizes.ts";
import type { Finding, Source } from "../scripts/tidy/source.ts";
import { checkFileName, checkNames, checkSyntax } from "../scripts/tidy/syntax.ts";
import {
  checkDependencyReasons,
  checkErrorTable,
  checkLockfile,
  checkVersions,
} from "../scripts/tidy/tables.ts";

// In parts, so that the rules do not find this file.
const mark = ["TO", "DO"].join("");
const silence = ["ig", "nore"].join("");
const switchOff = ["dis", "able"].join("");
const library = "packages/cadre/src";

interface Case {
  readonly rule: (source: Source) => readonly Finding[];
  readonly path?: string;
  readonly refused: readonly string[];
  readonly allowed: readonly string[];
}

function assertCases({ rule, path = `${library}/bus/bus.ts`, refused, allowed }: Case): void {
  for (const text of refused) assert.notEqual(rule({ path, text }).length, 0, `passes: ${text}`);
  for (const text of allowed) assert.deepEqual(rule({ path, text }), [], `is refused: ${text}`);
}

test("core climbs to no floor and imports nothing of Node", () => {
  assertCases({
    rule: checkFloors,
    path: `${library}/core/event.ts`,
    refused: [
      `import type { Bus } from "../bus/bus.ts";`,
      `import { readFileSync } from "node:fs";`,
      `import fs from "fs";`,
      `export { run } from "../testing/run.ts";`,
      `const bus = await import("../bus/bus.ts");`,
      `type Bus = import("../bus/bus.ts").Bus;`,
      `import { createBus } from "../index.ts";`,
      `import { createBus } from "cadre";`,
      `import { x } from "#src/core/x.ts";`,
      `import { x } from "../../test/x.ts";`,
      `import { x } from "../attic/x.ts";`,
    ],
    allowed: [`import { topic } from "./topic.ts";`, `import Ajv from "ajv";`],
  });
  const clock = { path: `${library}/core/clock.ts`, text: `import timers from "node:timers";` };
  assert.deepEqual(checkFloors(clock), []);
});

test("bus and store do not know each other, nor do drivers of different systems", () => {
  assertCases({
    rule: checkFloors,
    refused: [
      `import { x } from "../store/event-store.ts";`,
      `import { x } from "../drivers/nats/index.ts";`,
    ],
    allowed: [`import { x } from "../core/event.ts";`, `import { x } from "./queue.ts";`],
  });
  assertCases({
    rule: checkFloors,
    path: `${library}/drivers/nats/transport.ts`,
    refused: [`import { x } from "../sqlite/log.ts";`, `import { x } from "../../agents/a.ts";`],
    allowed: [`import { x } from "./names.ts";`, `import { x } from "../../bus/transport.ts";`],
  });
});

test("testing and the entry import any floor", () => {
  const text = `import { x } from "../agents/a.ts"; import { y } from "../bus/b.ts";`;
  assert.deepEqual(checkFloors({ path: `${library}/testing/team.ts`, text }), []);
  const entry = `export { x } from "./agents/a.ts"; export { y } from "./core/b.ts";`;
  assert.deepEqual(checkFloors({ path: `${library}/index.ts`, text: entry }), []);
});

test("nobody outside reaches into the library", () => {
  assertCases({
    rule: checkPublicBorder,
    path: "examples/01-hello.ts",
    refused: [
      `import { x } from "../packages/cadre/src/index.ts";`,
      `import { x } from "../node_modules/cadre/dist/core/x.js";`,
    ],
    allowed: [`import { createBus } from "cadre";`, `import { x } from "cadre/testing";`],
  });
});

test("sizes have limits", () => {
  const lines = (count: number): string => "a();\n".repeat(count);
  assertCases({ rule: checkFileSize, refused: [lines(401)], allowed: [lines(400)] });
  assertCases({
    rule: checkFunctionSizes,
    refused: [
      `function f() {\n${lines(59)}}`,
      `const f = () => {\n${lines(59)}};`,
      `class A { m() {\n${lines(59)}} }`,
      `const a = { m() {\n${lines(59)}} };`,
    ],
    allowed: [`function f() {\n${lines(58)}}`, lines(200)],
  });
  assertCases({
    rule: checkLineWidth,
    refused: [`// a ${"x".repeat(96)}`],
    allowed: [
      `// a ${"x".repeat(95)}`,
      `"${"x".repeat(120)}"`,
      `  message: "one ${"x".repeat(120)}",`,
    ],
  });
});

test("the finding names the line", () => {
  const [finding] = checkSyntax({ path: "scripts/a.ts", text: "a();\nb();\nenum C { D }\n" });
  assert.equal(finding?.line, 3);
});

test("syntax that does not only erase, and inheritance, are refused", () => {
  assertCases({
    rule: checkSyntax,
    refused: [
      `export default 1;`,
      `enum A { B }`,
      `namespace A { export const b = 1; }`,
      `class A { constructor(private b: string) {} }`,
      `@sealed class A {}`,
      `class A extends B {}`,
      `class A extends EventEmitter {}`,
    ],
    allowed: [
      `export const a = 1;`,
      `class A {}`,
      `class A extends Error {}`,
      `class A extends CadreError {}`,
      `declare global { interface Window {} }`,
    ],
  });
  const config = { path: "examples/cadre.config.ts", text: "export default {};" };
  assert.deepEqual(checkSyntax(config), []);
});

test("names that say nothing are refused", () => {
  for (const path of ["utils.ts", "a/types.ts", "common/a.ts", "a/util/b.ts", "a/taskQueue.ts"]) {
    assert.notEqual(checkFileName({ path, text: "" }).length, 0, `passes: ${path}`);
  }
  for (const path of [
    "a/task-queue.ts",
    "a/bus.test.ts",
    "test/types/bus.types.ts",
    "01-hello.ts",
  ]) {
    assert.deepEqual(checkFileName({ path, text: "" }), []);
  }
  assertCases({
    rule: checkNames,
    refused: [`class BusImpl {}`, `class TaskManager {}`, `interface IBus {}`],
    allowed: [`class Bus {}`, `interface Intake {}`, `type IOError = string;`],
  });
});

test("time and chance come through their ports", () => {
  assertCases({
    rule: checkPorts,
    refused: [
      `setTimeout(f, 1);`,
      `globalThis.setTimeout(f, 1);`,
      `const { now } = performance;`,
      `Date.now();`,
      `new Date();`,
      `const now = Date.now;`,
      `setImmediate(f);`,
      `process.hrtime.bigint();`,
      `AbortSignal.timeout(5);`,
      `import { setTimeout as wait } from "node:timers/promises";`,
      `const timers = await import("node:timers");`,
      `Math.random();`,
      `crypto.randomUUID();`,
      `globalThis.crypto.getRandomValues(a);`,
      `import { randomUUID } from "node:crypto";`,
    ],
    allowed: [
      `clock.setTimeout(f, 1);`,
      `clock.now();`,
      `new Date(0);`,
      `const a = { performance: 1 };`,
      `random.uuid();`,
      `interface A { setTimeout(): void }`,
    ],
  });
  const clock = `${library}/core/clock.ts`;
  assert.deepEqual(checkPorts({ path: clock, text: "setTimeout(f, 1); Date.now();" }), []);
  assert.notEqual(checkPorts({ path: clock, text: "Math.random();" }).length, 0);
});

test("left-overs are found", () => {
  assertCases({
    rule: checkComments,
    refused: [
      `// ${mark} later`,
      `/* ${mark}: later */`,
      `// @ts-${silence}`,
      `/* eslint-${switchOff} */`,
      `// @ts-expect-error\na();`,
      `// const a = b();`,
    ],
    allowed: [
      `const text = "${mark}";`,
      `// @ts-expect-error the type is closed\na();`,
      `// oxlint-disable-next-line no-explicit-any -- inferred from\na();`,
      `// It returns; then nothing happens.`,
    ],
  });
  assertCases({
    rule: checkTestSwitches,
    refused: [`test.only("a", f);`, `describe.skip("a", f);`, `it.todo("a");`],
    allowed: [`test("a", { skip: "why" }, f);`, `list.skip(1);`],
  });
  assertCases({
    rule: checkDebugging,
    refused: [`console.log(1);`, `debugger;`, `console.error(e);`],
    allowed: [`logger.info("a");`, `const a = { console: 1 };`],
  });
});

test("a path of one machine is found", () => {
  const slash = "/";
  assertCases({
    rule: checkMachinePaths,
    refused: [`${slash}home/somebody/x`, `"${slash}Users/me"`, `cd ${slash}work/main`],
    allowed: [`https://example.org${slash}home/x`, `./home/x`, `/tmp/x`, `/usr/sbin`],
  });
});

test("error codes and their page are compared both ways", () => {
  const table: Source = {
    path: "errors.ts",
    text: `export interface ErrorDetails { A_B: { x: string }; C: {} }`,
  };
  const page = (...codes: string[]): Source => ({
    path: "errors.md",
    text: codes.map((code) => `| \`${code}\` | why |`).join("\n"),
  });
  const messages = (...codes: string[]): string[] =>
    checkErrorTable(table, page(...codes)).map(({ message }) => message);
  assert.deepEqual(messages("A_B", "C"), []);
  assert.match(messages("A_B").join(), /^C is not on the page$/);
  assert.match(messages("A_B", "C", "D").join(), /^D is on the page, but no error has it$/);
  assert.match(messages("A_B", "C", "C").join(), /^C is on the page twice$/);
  assert.notEqual(checkErrorTable({ path: "errors.ts", text: "" }, page()).length, 0);
});

test("dependencies need a reason, and reasons a dependency", () => {
  const manifest = (dependencies: object): Source => ({
    path: "package.json",
    text: JSON.stringify({ name: "a", version: "1.0.0", dependencies }),
  });
  const page: Source = { path: "dependencies.md", text: "- `ajv`: checks payloads" };
  assert.deepEqual(checkDependencyReasons([manifest({ ajv: "1.0.0", a: "1.0.0" })], page), []);
  assert.equal(checkDependencyReasons([manifest({ ajv: "1.0.0", b: "1.0.0" })], page).length, 1);
  assert.equal(checkDependencyReasons([manifest({})], page).length, 1);
});

test("versions are one and exact", () => {
  const manifest = (name: string, version: string, dependencies: object = {}): Source => ({
    path: `${name}.json`,
    text: JSON.stringify({ name, version, dependencies }),
  });
  const first = manifest("a", "1.0.0");
  assert.deepEqual(checkVersions([first, manifest("b", "1.0.0", { a: "1.0.0" })]), []);
  assert.equal(checkVersions([first, manifest("b", "1.0.1")]).length, 1);
  assert.equal(checkVersions([first, manifest("b", "1.0.0", { a: "0.9.0" })]).length, 1);
  assert.equal(checkVersions([first, manifest("b", "1.0.0", { c: "^1.0.0" })]).length, 1);
});

test("download addresses in the lockfile are found", () => {
  const lockfile = (resolved: string): Source => ({
    path: "package-lock.json",
    text: `{\n "a": { "resolved": "${resolved}" }\n}`,
  });
  assert.equal(checkLockfile(lockfile("https://example.org/a.tgz"))[0]?.line, 2);
  assert.deepEqual(checkLockfile(lockfile("packages/cadre")), []);
});

test("code blocks keep the lines of their page, and go on where they say so", () => {
  const page: Source = {
    path: "page.md",
    text: [
      "```ts",
      "const a = 1;",
      "```",
      "text",
      "```ts continued",
      "use(a);",
      "```",
      "```ts nocheck",
      "broken(",
      "```",
      "```sh",
      "ls",
      "```",
      "````md",
      "```ts",
      "x",
      "```",
      "````",
      "```ts",
      "const b = 2;",
      "```",
    ].join("\n"),
  };
  const blocks = codeBlocks(page);
  assert.deepEqual(
    blocks.map(({ line, text }) => [line, text.split("\n").indexOf("use(a);"), text.trim()]),
    [
      [1, 5, "const a = 1;\n\n\n\nuse(a);"],
      [19, -1, "const b = 2;"],
    ],
  );
});

test("an example's promised output is its last comment", () => {
  const promised = (text: string): string | undefined => promisedOutput({ path: "a.ts", text });
  assert.equal(promised("a();\n\n/* Output:\none\ntwo  \n*/\n"), "one\ntwo");
  assert.equal(promised("/* Output:\none\n*/\na();"), undefined);
  assert.equal(promised("a();"), undefined);
});
