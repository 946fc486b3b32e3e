import { type Finding, type Node, type Source, finding, nameOf, parse, walk } from "./source.ts";

const refusedWords = /\b(?:TODO|FIXME|XXX|HACK)\b/;
const refusedDirectives =
  /@ts-(?:ignore|nocheck)|eslint-disable(?!-next-line)|oxlint-disable(?!-next-line)/;
const bareExpectation = /@ts-expect-error\s*$/;
const workMembers = new Set(["only", "skip", "todo"]);
const testNames = new Set(["test", "it", "describe", "suite"]);

/** Marks of unfinished work in comments: they are promises that nobody keeps. */
export function checkComments(source: Source): Finding[] {
  const findings: Finding[] = [];
  for (const comment of parse(source).comments) {
    const complain = (message: string): void => {
      findings.push(finding(source, comment.start, message));
    };
    if (refusedWords.test(comment.value)) complain("a left-over mark; do it or drop it");
    if (refusedDirectives.test(comment.value))
      complain("silences the checks for more than one line");
    if (bareExpectation.test(comment.value)) complain("@ts-expect-error without a reason");
    if (/^\s*(?:const|let|return|await|import|if \() .*;\s*$/.test(comment.value)) {
      complain("code in a comment");
    }
  }
  return findings;
}

/** Tests that are switched off, or that switch off the others. */
export function checkTestSwitches(source: Source): Finding[] {
  const findings: Finding[] = [];
  walk(parse(source).program, (node) => {
    if (node.type !== "CallExpression") return;
    const callee = node["callee"] as Node;
    const [object, member] = [nameOf(callee["object"]), nameOf(callee["property"])];
    if (object === undefined || member === undefined) return;
    if (testNames.has(object) && workMembers.has(member)) {
      findings.push(finding(source, node.start, `${object}.${member}`));
    }
  });
  return findings;
}

/** Output and breakpoints that were meant for the one who wrote it. */
export function checkDebugging(source: Source): Finding[] {
  const findings: Finding[] = [];
  walk(parse(source).program, (node) => {
    if (node.type === "DebuggerStatement") findings.push(finding(source, node.start, "debugger"));
    if (node.type === "MemberExpression" && nameOf(node["object"]) === "console") {
      findings.push(finding(source, node.start, "writes to the console; take a Logger"));
    }
  });
  return findings;
}

// A home, a drive or a checkout of somebody: what holds on one machine only.
const machinePath = /(?<![\w.}])(?:\/(?:home|Users|root|work|workspace)\/[\w.-]+|[A-Z]:\\Users\\)/;

/** Paths of a machine, in any file. */
export function checkMachinePaths(source: Source): Finding[] {
  const match = machinePath.exec(source.text);
  if (match === null) return [];
  return [finding(source, match.index, `a path of one machine: ${match[0]}`)];
}
