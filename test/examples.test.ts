/** Every example does what its last comment says. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { normalOutput, promisedOutput } from "../scripts/tidy/output-comment.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const exampleTimeoutMs = 60_000; // one of them runs the whole conformance suite
const examples = globSync("examples/[0-9][0-9]-*.ts", { cwd: root }).sort();

test("there are examples", () => {
  assert.notEqual(examples.length, 0);
});

for (const path of examples) {
  test(`${path} prints what it promises`, () => {
    const promised = promisedOutput({ path, text: readFileSync(join(root, path), "utf8") });
    assert.ok(promised !== undefined, `${path} does not end with a comment "/* Output: …"`);
    const result = spawnSync(process.execPath, [join(root, path)], {
      cwd: tmpdir(), // an example must not need the checkout around it, nor leave anything there
      encoding: "utf8",
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, NO_COLOR: "1" },
      timeout: exampleTimeoutMs,
    });
    assert.equal(result.signal, null, `did not end within ${exampleTimeoutMs / 1000} s`);
    assert.equal(result.status, 0, `exit code ${result.status}:\n${result.stderr}`);
    assert.equal(normalOutput(result.stdout), promised);
  });
}
