/**
 * Builds the packages, each after those it depends on: `packages/X/src` to `packages/X/dist`.
 *
 * A package whose inputs are those of its last build is left alone, so that `npm run demo` starts
 * at once. The fingerprint of the inputs (path, size and time of change of every file) stands in
 * `dist/.inputs`.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

interface Package {
  readonly name: string;
  readonly folder: string;
  readonly dependencies: readonly string[];
}

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stampName = ".inputs";
const buildInfoName = ".tsbuildinfo";

export function filesUnder(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

export function readPackages(packagesFolder: string): Package[] {
  const found: Package[] = [];
  for (const entry of readdirSync(packagesFolder)) {
    const folder = join(packagesFolder, entry);
    if (!existsSync(join(folder, "tsconfig.json"))) continue;
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
    found.push({ name: manifest.name, folder, dependencies });
  }
  return found;
}

/** Dependencies first; among equals the order of their names. */
export function inDependencyOrder(packages: readonly Package[]): Package[] {
  const ordered: Package[] = [];
  const waiting = new Map(packages.map((item) => [item.name, item]));
  while (waiting.size > 0) {
    const ready = [...waiting.values()].filter(
      (item) => !item.dependencies.some((name) => waiting.has(name)),
    );
    if (ready.length === 0) {
      throw new Error(`The packages depend on each other: ${[...waiting.keys()].join(", ")}.`);
    }
    for (const item of ready) waiting.delete(item.name);
    ordered.push(...ready);
  }
  return ordered;
}

/** What a source becomes, relative to `dist`. Anything but TypeScript is copied as it is. */
export function outputsOf(source: string): string[] {
  if (source.endsWith(".d.ts")) return [];
  if (!source.endsWith(".ts")) return [source];
  const stem = source.slice(0, -".ts".length);
  return [`${stem}.js`, `${stem}.js.map`, `${stem}.d.ts`];
}

function fingerprint(item: Package, dependencyStamps: readonly string[]): string {
  const settings = ["tsconfig.base.json", join("node_modules", "typescript", "package.json")];
  const inputs = [
    ...filesUnder(join(item.folder, "src")),
    join(item.folder, "package.json"),
    join(item.folder, "tsconfig.json"),
    ...settings.map((path) => join(root, path)),
  ];
  const hash = createHash("sha256");
  for (const path of inputs) {
    const { size, mtimeMs } = statSync(path);
    hash.update(`${relative(root, path)} ${size} ${mtimeMs}\n`);
  }
  for (const stamp of dependencyStamps) hash.update(`${stamp}\n`);
  return hash.digest("hex");
}

/** Removes what no source accounts for any more, and says whether something is missing. */
function tidyOutputs(item: Package): { missing: boolean } {
  const src = join(item.folder, "src");
  const dist = join(item.folder, "dist");
  const expected = new Set(
    filesUnder(src).flatMap((path) => outputsOf(relative(src, path)).map((out) => join(dist, out))),
  );
  const own = new Set([join(dist, stampName), join(dist, buildInfoName)]);
  const present = new Set(filesUnder(dist));
  for (const path of present) {
    if (!expected.has(path) && !own.has(path)) rmSync(path);
  }
  return { missing: [...expected].some((path) => !present.has(path)) };
}

function copyOtherFiles(item: Package): void {
  const src = join(item.folder, "src");
  for (const path of filesUnder(src)) {
    if (path.endsWith(".ts")) continue;
    const target = join(item.folder, "dist", relative(src, path));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(path, target);
  }
}

/** Compiles one package; the compiler prints its own errors. */
function compile(item: Package): boolean {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const buildInfo = join(item.folder, "dist", buildInfoName);
  const args = ["-p", join(item.folder, "tsconfig.json"), "--noEmitOnError", "--incremental"];
  const result = spawnSync(process.execPath, [compiler, ...args, "--tsBuildInfoFile", buildInfo], {
    cwd: root,
    stdio: "inherit",
  });
  return result.status === 0;
}

function build(item: Package, stamps: Map<string, string>): boolean {
  const dist = join(item.folder, "dist");
  const stampPath = join(dist, stampName);
  const stamp = fingerprint(
    item,
    item.dependencies.flatMap((name) => stamps.get(name) ?? []),
  );
  stamps.set(item.name, stamp);
  const { missing } = tidyOutputs(item);
  const last = existsSync(stampPath) ? readFileSync(stampPath, "utf8") : "";
  if (!missing && last === stamp) return true;

  // Without its build info the compiler writes every file again, also those that only went missing.
  if (missing) rmSync(join(dist, buildInfoName), { force: true });
  rmSync(stampPath, { force: true });
  if (filesUnder(join(item.folder, "src")).length === 0) return true;
  const begun = Date.now();
  if (!compile(item)) {
    console.error(`build: ${item.name} does not compile; the errors are above.`);
    return false;
  }
  copyOtherFiles(item);
  mkdirSync(dist, { recursive: true });
  writeFileSync(stampPath, stamp);
  console.log(`build: ${item.name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  return true;
}

if (import.meta.main) {
  const stamps = new Map<string, string>();
  const packages = inDependencyOrder(readPackages(join(root, "packages")));
  process.exitCode = packages.every((item) => build(item, stamps)) ? 0 : 1;
}
