/** The programs in the page about the older systems run, and print what the page says. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const page = join(here, "../../../../docs/how-to/from-the-older-systems.md");
const text = await readFile(page, "utf8");
const programs = [...text.matchAll(/^## (.+?)\n(.*?)(?=^## |$(?![\s\S]))/gms)].flatMap(
  ([, title = "", body = ""]) =>
    [...body.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => ({ title, code })),
);
// Inside the package, so that "cadre" is this one.
const folder = await mkdtemp(join(here, ".page-"));
after(() => rm(folder, { recursive: true, force: true }));

test("the page has a program for each way", () => {
  assert.ok(programs.length >= 5, `${programs.length} programs`);
});

for (const [index, { title, code }] of programs.entries()) {
  test(
    `the program under "${title}" prints what its comment says`,
    { timeout: 30_000 },
    async () => {
      const file = join(folder, `program-${index}.ts`);
      await writeFile(file, code);
      const expected = [...code.matchAll(/^console\.log\(.*\);(?:\n)?\s*\/\/ (.+)$/gm)].map(
        ([, said = ""]) => said,
      );
      assert.ok(expected.length > 0, "the program says what it prints");
      const child = spawn(process.execPath, ["--conditions=source", file], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      let out = "";
      let err = "";
      child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
      const [code_] = (await once(child, "close")) as [number | null];
      assert.equal(code_, 0, err);
      assert.deepEqual(out.trim().split("\n"), expected, err);
    },
  );
}
