/**
 * The house: an import points to a lower floor, or stays in its own room.
 *
 *   5 cli, 4 monitor, 3 agents and outbox, 2 drivers/<system>, 1 bus and store, 0 core; testing
 */
import { builtinModules } from "node:module";
import { posix } from "node:path";
import { type Finding, type Source, finding, isNode, nameOf, parse, walk } from "./source.ts";

const library = "packages/cadre/src/";
const floors: Readonly<Record<string, number>> = {
  core: 0,
  bus: 1,
  store: 1,
  drivers: 2,
  agents: 3,
  outbox: 3,
  monitor: 4,
  cli: 5,
};
const coreFilesOnNode = new Set(["core/clock.ts", "core/random.ts"]);
// The file opens a driver by its URL, on demand; the engines above know no driver.
const publicEntries = new Set(["index.ts"]);

/** What a file imports, dynamic imports and types included. */
export function importsOf(source: Source): { readonly from: string; readonly offset: number }[] {
  const found: { from: string; offset: number }[] = [];
  walk(parse(source).program, (node) => {
    const specifier = node["source"];
    if (!isNode(specifier)) return;
    const from = nameOf(specifier);
    if (from !== undefined) found.push({ from, offset: node.start });
  });
  return found;
}

/** Imports that climb, that cross between drivers or engines, or that bring Node into core. */
export function checkFloors(source: Source): Finding[] {
  if (!source.path.startsWith(library)) return [];
  const here = source.path.slice(library.length);
  const findings: Finding[] = [];
  for (const { from, offset } of importsOf(source)) {
    const complaint = from.startsWith(".")
      ? refusalOf(here, posix.join(posix.dirname(here), from))
      : refusalOfPackage(here, from);
    if (complaint !== undefined) findings.push(finding(source, offset, complaint));
  }
  return findings;
}

function refusalOf(here: string, there: string): string | undefined {
  if (there.startsWith("..")) return `${here} reaches outside of the library's src: ${there}`;
  const [room = "", system] = here.split("/");
  const [otherRoom = "", otherSystem] = there.split("/");
  if (publicEntries.has(here) || room === "testing") return undefined;
  if (publicEntries.has(there)) return `${here} imports the public entry; import the part itself`;
  if (otherRoom === "testing") return `${here} imports from testing, which no floor does`;
  const floor = floors[room];
  const otherFloor = floors[otherRoom];
  if (floor === undefined || otherFloor === undefined) {
    return `${here} or ${there} stands on no floor; add its room to scripts/tidy/floors.ts`;
  }
  if (room === otherRoom) {
    if (room !== "drivers" || system === otherSystem) return undefined;
    return `driver ${system} imports driver ${otherSystem}; drivers do not know each other`;
  }
  if (otherFloor > floor) return `${room} (floor ${floor}) imports ${otherRoom} (${otherFloor})`;
  if (otherFloor < floor) return undefined;
  // The relay needs both engines, and agents start it; on floor 1 nobody needs a neighbour.
  if (floor === 3) return undefined;
  return `${room} imports ${otherRoom}, which stands on the same floor`;
}

function refusalOfPackage(here: string, from: string): string | undefined {
  if (from === "cadre" || from.startsWith("cadre/") || from.startsWith("#")) {
    return `${here} imports ${from}; inside the library imports are relative`;
  }
  const isNodes = from.startsWith("node:") || builtinModules.includes(from);
  if (here.startsWith("core/") && isNodes && !coreFilesOnNode.has(here)) {
    return `${here} imports ${from}; core imports nothing of Node`;
  }
  return undefined;
}

/** Imports by which something outside of the library reaches into it. */
export function checkPublicBorder(source: Source): Finding[] {
  const outside = /^(?:examples|bench|packages\/(?!cadre\/))/.exec(source.path);
  if (outside === null) return [];
  return importsOf(source)
    .filter(({ from }) => /(?:^|\/)packages\/cadre\/|\/cadre\/(?:src|dist)\//.test(from))
    .map(({ from, offset }) => finding(source, offset, `imports ${from}, not a public name`));
}
