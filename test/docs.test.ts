/** The code in the pages compiles against the built packages, as it would at a reader's. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type CodeBlock, codeBlocks } from "../scripts/tidy/code-blocks.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const compileTimeoutMs = 60_000;

/** Compiles the programs in one go; returns the errors, each with the page and the line it is at. */
function compile(blocks: readonly CodeBlock[]): string[] {
  // Inside the workspace, so that "cadre" is found as a dependency.
  mkdirSync(join(root, ".tidy"), { recursive: true });
  const folder = mkdtempSync(join(root, ".tidy", "docs-"));
  try {
    for (const [index, { text }] of blocks.entries()) {
      writeFileSync(join(folder, `block-${index}.ts`), text);
    }
    const options = {
      extends: "../../tsconfig.base.json",
      compilerOptions: {
        noEmit: true,
        declaration: false,
        isolatedDeclarations: false,
        rewriteRelativeImportExtensions: false,
        noUnusedLocals: false,
        noUnusedParameters: false,
        customConditions: [],
      },
      files: blocks.map((_, index) => `block-${index}.ts`),
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(options));
    const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
    const result = spawnSync(process.execPath, [compiler, "-p", folder, "--pretty", "false"], {
      cwd: folder,
      encoding: "utf8",
      timeout: compileTimeoutMs,
    });
    assert.equal(result.signal, null, "the compiler did not end in time");
    const lines = result.stdout.split("\n").filter((line) => line !== "");
    return lines.map((line) => line.replace(/^block-(\d+)\.ts\((\d+),.*?\)/, atPage(blocks)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function atPage(blocks: readonly CodeBlock[]) {
  return (_: string, index: string, line: string): string =>
    `${blocks[Number(index)]?.path}:${line}`;
}

test("the code in every page compiles", () => {
  const pages = globSync(["*.md", "docs/**/*.md", "packages/*/*.md"], { cwd: root }).sort();
  const blocks = pages.flatMap((path) =>
    codeBlocks({ path, text: readFileSync(join(root, path), "utf8") }),
  );
  const errors = blocks.length === 0 ? [] : compile(blocks);
  assert.equal(errors.length, 0, `\n${errors.join("\n")}`);
});

test("code that does not compile is found, with its page and line", () => {
  const text = "text\n\n```ts\nconst a: string = 1;\n```\n";
  const errors = compile(codeBlocks({ path: "page.md", text }));
  assert.equal(errors.length, 1);
  assert.match(errors[0] ?? "", /^page\.md:4: error TS2322/);
});
