import {
  type Finding,
  type Node,
  type Source,
  finding,
  isNode,
  nameOf,
  parse,
  walk,
} from "./source.ts";
import { importsOf } from "./floors.ts";

const timeFile = "packages/cadre/src/core/clock.ts";
// How late the event loop is, is a fact about the machine that no clock of ours can tell.
const lagFile = "packages/cadre/src/agents/process-card.ts";
const chanceFile = "packages/cadre/src/core/random.ts";

const timeGlobals = new Set(["setTimeout", "setInterval", "setImmediate", "performance"]);
const timeMembers = new Set([
  "Date.now",
  "performance.now",
  "process.hrtime",
  "process.uptime",
  "AbortSignal.timeout",
  "Atomics.wait",
]);
const chanceMembers = new Set(["Math.random", "crypto.randomUUID", "crypto.getRandomValues"]);
const chanceNames = new Set(["randomUUID", "randomBytes", "randomInt", "getRandomValues"]);
const timeModules = /^(?:node:)?(?:timers(?:\/promises)?|perf_hooks)$/;

/** Time that is not read from a Clock, and chance that is not drawn from a Random. */
export function checkPorts(source: Source): Finding[] {
  const findings: Finding[] = [];
  const mayTime = source.path === timeFile;
  const mayChance = source.path === chanceFile;
  for (const { from, offset } of importsOf(source)) {
    if (source.path === lagFile && from === "node:perf_hooks") continue;
    if (!mayTime && timeModules.test(from)) {
      findings.push(finding(source, offset, `imports ${from}; take a Clock`));
    }
  }
  walk(parse(source).program, (node, above) => {
    const time = mayTime ? undefined : timeOf(node, above);
    const chance = mayChance ? undefined : chanceOf(node, above);
    if (time !== undefined) findings.push(finding(source, node.start, `${time}; take a Clock`));
    if (chance !== undefined)
      findings.push(finding(source, node.start, `${chance}; take a Random`));
  });
  return findings;
}

function timeOf(node: Node, above: readonly Node[]): string | undefined {
  const member = memberName(node);
  if (member !== undefined && timeMembers.has(member)) return `reads time by ${member}`;
  const name = globalName(node, above);
  if (name !== undefined && timeGlobals.has(name)) return `reads time by ${name}`;
  if (node.type !== "NewExpression" && node.type !== "CallExpression") return undefined;
  const args = node["arguments"];
  const isNow = nameOf(node["callee"]) === "Date" && Array.isArray(args) && args.length === 0;
  return isNow ? "reads time by a new Date" : undefined;
}

function chanceOf(node: Node, above: readonly Node[]): string | undefined {
  const member = memberName(node);
  if (member !== undefined && chanceMembers.has(member)) return `draws chance by ${member}`;
  const name = globalName(node, above);
  return name !== undefined && chanceNames.has(name) ? `draws chance by ${name}` : undefined;
}

/** `a.b` as text, without `globalThis`; undefined for anything but members of plain names. */
function memberName(node: Node): string | undefined {
  if (node.type !== "MemberExpression" || node["computed"] === true) return undefined;
  const owner = node["object"];
  const object = nameOf(owner) ?? (isNode(owner) ? memberName(owner) : undefined);
  const property = nameOf(node["property"]);
  if (object === undefined || property === undefined) return undefined;
  return object === "globalThis" ? property : `${object}.${property}`;
}

/** The name where a node uses a value by its bare name: no property, key, declaration or type. */
function globalName(node: Node, above: readonly Node[]): string | undefined {
  if (node.type === "MemberExpression" && nameOf(node["object"]) === "globalThis") {
    return nameOf(node["property"]);
  }
  if (node.type !== "Identifier") return undefined;
  const parent = above.at(-1);
  if (parent === undefined || parent.type.startsWith("TS")) return undefined;
  if (parent.type === "MemberExpression" && isSame(parent["property"], node)) return undefined;
  if (isSame(parent["key"], node) && parent["shorthand"] !== true) return undefined;
  return nameOf(node);
}

function isSame(value: unknown, node: Node): boolean {
  return isNode(value) && value.start === node.start && value.end === node.end;
}
