/** The rules of CONTRIBUTING.md that a test can check, over every file. The rules are in scripts/tidy. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkFloors, checkPublicBorder } from "../scripts/tidy/floors.ts";
import {
  checkComments,
  checkDebugging,
  checkMachinePaths,
  checkTestSwitches,
} from "../scripts/tidy/left-overs.ts";
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

type Rule = (source: Source) => readonly Finding[];

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const notOurs = /(?:^|\/)(?:node_modules|dist|\.git|\.tidy|\.cadre)(?:\/|$)/;

function source(path: string): Source {
  return { path, text: readFileSync(join(root, path), "utf8") };
}

function sources(...patterns: string[]): Source[] {
  return globSync(patterns, { cwd: root, exclude: (path) => notOurs.test(path) })
    .filter((path) => !notOurs.test(path))
    .sort()
    .map(source);
}

const src = sources("packages/*/src/**/*.ts");
const tests = sources("packages/*/test/**/*.ts", "test/**/*.ts");
const tools = sources("scripts/**/*.ts", "bench/**/*.ts", "examples/**/*.ts");
const code = [...src, ...tests, ...tools];
const pages = sources("*.md", "docs/**/*.md", "packages/*/*.md");
const manifests = sources("package.json", "packages/*/package.json");
// Tables of inputs and outputs: their size is their use.
const isData = ({ path }: Source): boolean => /\/(?:vectors|fixtures)\//.test(path);

function assertTidy(files: readonly Source[], ...rules: readonly Rule[]): void {
  assert.notEqual(files.length, 0, "there is nothing to check");
  assertNone(files.flatMap((file) => rules.flatMap((rule) => rule(file))));
}

function assertNone(findings: readonly Finding[]): void {
  const lines = findings.map(({ path, line, message }) => `${path}:${line} ${message}`);
  assert.equal(lines.length, 0, `\n${lines.join("\n")}`);
}

test("an import points to a lower floor, and core imports nothing of Node", () => {
  assertTidy(src, checkFloors);
});

test("what stands outside of the library imports its public names", () => {
  assertTidy(code, checkPublicBorder);
});

test("a file has at most 400 lines", () => {
  assertTidy(
    code.filter((file) => !isData(file)),
    checkFileSize,
  );
});

test("a function has at most 60 lines", () => {
  assertTidy(
    [...src, ...tools].filter((file) => !isData(file)),
    checkFunctionSizes,
  );
});

test("a line has at most 100 columns", () => {
  assertTidy(
    [...src, ...tools].filter((file) => !isData(file)),
    checkLineWidth,
  );
});

test("no default export, enum, namespace, decorator, parameter property or inheritance", () => {
  assertTidy(code, checkSyntax);
});

test("files and types are named by what they are", () => {
  assertTidy(code, checkFileName);
  assertTidy(src, checkNames);
});

test("only the clock reads time, and only the random source draws chance", () => {
  assertTidy(src, checkPorts);
});

test("nothing is left over", () => {
  assertTidy(code, checkComments);
  assertTidy(tests, checkTestSwitches);
  assertTidy(
    src.filter(({ path }) => !path.startsWith("packages/cadre/src/cli/")),
    checkDebugging,
  );
});

test("no file holds a path of one machine", () => {
  assertTidy([...code, ...pages, ...manifests], checkMachinePaths);
});

test("every error code is on the reference page, and nothing else is", () => {
  const table = source("packages/cadre/src/core/errors.ts");
  assertNone(checkErrorTable(table, source("docs/reference/errors.md")));
});

test("every dependency has its reason", () => {
  assertNone(checkDependencyReasons(manifests, source("docs/why/dependencies.md")));
});

test("all packages have one version, and every dependency an exact one", () => {
  assertNone(checkVersions(manifests));
});

test("the lockfile records no download address", () => {
  assertNone(checkLockfile(source("package-lock.json")));
});
