import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { brokerSuites } from "../scripts/broker-suites.ts";
import { inDependencyOrder, outputsOf, readPackages } from "../scripts/build.ts";
import { findTests } from "../scripts/run-tests.ts";
import { type TestServer, ensureServer, findServer, testServers } from "../scripts/servers.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function withFiles(files: Record<string, string>, use: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "cadre-test-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text, { mode: 0o755 });
    }
    use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const server: TestServer = {
  name: "toy",
  binaries: ["toyd"],
  folders: [],
  aptPackage: "toy-server",
  variable: "CADRE_TEST_TOY",
  required: true,
};

test("packages are built after those they depend on", () => {
  const item = (name: string, ...dependencies: string[]) => ({ name, folder: name, dependencies });
  const ordered = inDependencyOrder([item("app", "lib", "zod"), item("lib", "core"), item("core")]);
  assert.deepEqual(
    ordered.map(({ name }) => name),
    ["core", "lib", "app"],
  );
  assert.throws(() => inDependencyOrder([item("a", "b"), item("b", "a")]), /depend on each other/);
});

test("a folder without tsconfig.json is no package to build", () => {
  const files = { "a/package.json": `{"name":"a"}`, "b/package.json": `{"name":"b"}` };
  withFiles({ ...files, "a/tsconfig.json": "{}" }, (folder) => {
    assert.deepEqual(
      readPackages(folder).map(({ name }) => name),
      ["a"],
    );
  });
});

test("a source has its outputs, and another file itself", () => {
  assert.deepEqual(outputsOf("a/b.ts"), ["a/b.js", "a/b.js.map", "a/b.d.ts"]);
  assert.deepEqual(outputsOf("a/b.sql"), ["a/b.sql"]);
  assert.deepEqual(outputsOf("a/b.d.ts"), []);
});

test("faults run only when they are asked for", () => {
  const files = {
    "packages/a/test/b.test.ts": "",
    "packages/a/test/faults/c.test.ts": "",
    "packages/a/test/helper.ts": "",
    "test/d.test.ts": "",
  };
  withFiles(files, (folder) => {
    const [b, c, d] = Object.keys(files).filter((path) => path.endsWith(".test.ts"));
    const find = (faults: boolean, ...parts: readonly string[]): string[] =>
      findTests({ faults, brokers: false, parts }, folder);
    assert.deepEqual(find(false), [b, d]);
    assert.deepEqual(find(false, "d.test"), [d]);
    assert.deepEqual(find(true), [c]);
  });
});

test("the suites of the transports run apart, and are there", () => {
  const all = brokerSuites.flatMap(({ basic, faults }) => [...basic, ...faults]);
  for (const path of all) assert.ok(existsSync(join(root, path)), path);
  const apart = findTests({ faults: false, brokers: true, parts: [] }, root);
  assert.deepEqual(
    apart,
    brokerSuites.flatMap(({ basic }) => basic),
  );
  const others = findTests({ faults: false, brokers: false, parts: [] }, root);
  assert.ok(others.length > 100);
  assert.ok(apart.every((path) => !others.includes(path)));
  const named = findTests({ faults: true, brokers: true, parts: ["/sqlite"] }, root);
  assert.deepEqual(named.length, 2);
  for (const { server: name } of brokerSuites) {
    assert.ok(name === undefined || testServers.some((item) => item.name === name), name);
  }
});

test("a server is found by its variable first, then on PATH", () => {
  withFiles({ "bin/toyd": "", "other/toyd-2": "" }, (folder) => {
    const PATH = join(folder, "bin");
    assert.equal(findServer(server, { PATH }), join(folder, "bin/toyd"));
    const named = join(folder, "other/toyd-2");
    assert.equal(findServer(server, { PATH, CADRE_TEST_TOY: named }), named);
    assert.equal(findServer(server, { PATH, CADRE_TEST_TOY: join(folder, "no") }), undefined);
    assert.equal(findServer(server, { PATH: join(folder, "other") }), undefined);
  });
});

test("a missing server is installed, or says why not and how", () => {
  const refusing = { refusal: "not found, and only root may install it", install: () => "unused" };
  const refused = ensureServer(server, { PATH: "" }, refusing);
  assert.ok(refused.path === undefined);
  assert.match(refused.why, /only root .*apt-get install toy-server.*CADRE_TEST_TOY/);

  const failing = { refusal: undefined, install: () => "apt-get install failed: no network" };
  const failed = ensureServer(server, { PATH: "" }, failing);
  assert.ok(failed.path === undefined);
  assert.match(failed.why, /no network/);

  withFiles({ readme: "" }, (folder) => {
    const install = (aptPackage: string): undefined => {
      assert.equal(aptPackage, "toy-server");
      writeFileSync(join(folder, "toyd"), "", { mode: 0o755 });
    };
    const installed = ensureServer(server, { PATH: folder }, { refusal: undefined, install });
    assert.equal(installed.path, join(folder, "toyd"));
  });
});
