/** Rules over several files that must say the same. */
import { type Finding, type Node, type Source, isNode, nameOf, parse, walk } from "./source.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** The keys of `interface ErrorDetails`. */
export function errorCodes(source: Source): string[] {
  const codes: string[] = [];
  walk(parse(source).program, (node) => {
    if (node.type !== "TSInterfaceDeclaration" || nameOf(node["id"]) !== "ErrorDetails") return;
    const body = isNode(node["body"]) ? node["body"]["body"] : [];
    for (const member of body as readonly Node[]) codes.push(nameOf(member["key"]) ?? "");
  });
  return codes;
}

/** The codes that begin a row of the reference page: "| `CODE` |". */
export function documentedCodes(page: Source): string[] {
  return [...page.text.matchAll(/^\| `([A-Z_]+)`/gm)].map((match) => match[1] ?? "");
}

/** Error codes without a row, and rows without a code. */
export function checkErrorTable(source: Source, page: Source): Finding[] {
  const codes = errorCodes(source);
  const rows = documentedCodes(page);
  const at = (path: string, message: string): Finding => ({ path, line: 1, message });
  if (codes.length === 0) return [at(source.path, "has no interface ErrorDetails with codes")];
  return [
    ...codes
      .filter((code) => !rows.includes(code))
      .map((code) => at(page.path, `${code} is not on the page`)),
    ...rows
      .filter((code) => !codes.includes(code))
      .map((code) => at(page.path, `${code} is on the page, but no error has it`)),
    ...rows
      .filter((code, index) => rows.indexOf(code) !== index)
      .map((code) => at(page.path, `${code} is on the page twice`)),
  ];
}

/** Dependencies of the packages and the workspace without their reason: a line "- `name`: why". */
export function checkDependencyReasons(manifests: readonly Source[], page: Source): Finding[] {
  const reasons = new Set(
    [...page.text.matchAll(/^- `([^`]+)`: \S/gm)].map((match) => match[1] ?? ""),
  );
  const findings: Finding[] = [];
  const used = new Set<string>();
  const own = new Set(manifests.map((source) => (JSON.parse(source.text) as Manifest).name));
  for (const source of manifests) {
    const manifest = JSON.parse(source.text) as Manifest;
    const { dependencies, devDependencies, peerDependencies } = manifest;
    for (const name of Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies })) {
      if (own.has(name) || used.has(name)) continue;
      used.add(name);
      if (reasons.has(name)) continue;
      findings.push({
        path: source.path,
        line: 1,
        message: `${name} has no reason in ${page.path}`,
      });
    }
  }
  for (const name of reasons) {
    if (!used.has(name)) {
      findings.push({ path: page.path, line: 1, message: `nobody depends on ${name} any more` });
    }
  }
  return findings;
}

/** Packages whose version, or whose version of each other, is not the workspace's. */
export function checkVersions(manifests: readonly Source[]): Finding[] {
  const parsed = manifests.map((source) => ({
    path: source.path,
    manifest: JSON.parse(source.text) as Manifest,
  }));
  const versions = new Map(parsed.map(({ manifest }) => [manifest.name, manifest.version]));
  const [expected] = versions.values();
  const findings: Finding[] = [];
  for (const { path, manifest } of parsed) {
    const complain = (message: string): void => {
      findings.push({ path, line: 1, message });
    };
    if (manifest.version !== expected) complain(`version ${manifest.version}, not ${expected}`);
    const { dependencies, devDependencies } = manifest;
    for (const [name, range] of Object.entries({ ...dependencies, ...devDependencies })) {
      const isOwn = versions.has(name);
      if (isOwn && range !== expected) complain(`takes ${name} ${range}, not ${expected}`);
      const exact = /^(?:npm:[@\w/.-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/;
      if (!exact.test(range)) complain(`${name} ${range} is not exact`);
    }
  }
  return findings;
}

/** A lockfile that says where packages were downloaded: another registry could not serve it. */
export function checkLockfile(lockfile: Source): Finding[] {
  const index = lockfile.text.search(/"resolved": "(?:https?|git\+)/);
  if (index === -1) return [];
  const line = lockfile.text.slice(0, index).split("\n").length;
  return [{ path: lockfile.path, line, message: "records a download address" }];
}
