import {
  type Finding,
  type Node,
  type Source,
  finding,
  lineAt,
  nameOf,
  parse,
  walk,
} from "./source.ts";

const maxFileLines = 400;
const maxFunctionLines = 60;
const maxColumns = 100;
const oneString = /^\s*(?:[\w.]+: |return |: |\? )?(["'`])(?:(?!\1).)*\1[,;)]*$/;

/** Files that are longer than a reader holds in mind. */
export function checkFileSize(source: Source): Finding[] {
  const lines = source.text.trimEnd().split("\n").length;
  if (lines <= maxFileLines) return [];
  const message = `${lines} lines; at most ${maxFileLines}: one file, one noun`;
  return [{ path: source.path, line: lines, message }];
}

/** Functions of more than 60 lines, from their first to their last. */
export function checkFunctionSizes(source: Source): Finding[] {
  const findings: Finding[] = [];
  walk(parse(source).program, (node, above) => {
    if (!/^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
      return;
    }
    const first = lineAt(source.text, node.start);
    const lines = lineAt(source.text, node.end) - first + 1;
    if (lines <= maxFunctionLines) return;
    const name = nameOfFunction(node, above.at(-1));
    const message = `${name} has ${lines} lines; at most ${maxFunctionLines}`;
    findings.push({ path: source.path, line: first, message });
  });
  return findings;
}

function nameOfFunction(node: Node, parent: Node | undefined): string {
  return (
    nameOf(node["id"]) ??
    nameOf(parent?.["key"]) ??
    nameOf(parent?.["id"]) ??
    "a function without a name"
  );
}

/** Lines that are wider than 100 columns. */
export function checkLineWidth(source: Source): Finding[] {
  let offset = 0;
  const findings: Finding[] = [];
  for (const line of source.text.split("\n")) {
    const columns = line.length;
    // A message or an address in one piece is easier to find than one in two.
    const breakable = line.trim().includes(" ") && !oneString.test(line);
    if (columns > maxColumns && breakable) {
      findings.push(finding(source, offset + 1, `${columns} columns; at most ${maxColumns}`));
    }
    offset += line.length + 1;
  }
  return findings;
}
