/**
 * What coders know to do about each kind of finding: strategies, the shortest change first. They
 * are rules, and some are wrong where they are tried: the tests and the reviewer decide.
 */
import ts from "typescript";
import type { Finding, FindingKind } from "./contract.ts";
import { mutations } from "./mutations.ts";
import { edited, functionsOf, locate, nodesIn, parse, replace } from "./syntax.ts";
import type { Edit, Strategy } from "./syntax.ts";

type Codemod = (source: ts.SourceFile, finding: Finding, node: ts.Node) => readonly Strategy[];

const codemods: Readonly<Record<FindingKind, Codemod>> = {
  "compile-error": () => [],
  "dead-code": removeFunction,
  "deprecated-call": callReplacement,
  "deprecated-method": replaceSubstr,
  "failing-test": (source, { declaration }) => {
    const suspect = functionsOf(source).get(declaration);
    return suspect ? mutations(suspect) : [];
  },
  "missing-await": (_source, _finding, node) => [
    { name: "await the promise", edits: [replace(node, `await ${node.getText()}`)] },
  ],
  "missing-null-check": checkForNull,
  "type-mismatch": convert,
  "unsorted-numbers": (_source, _finding, node) => {
    const text = node.getText().replace(/\(\)$/, "((a, b) => a - b)");
    return [{ name: "compare numbers as numbers", edits: [replace(node, text)] }];
  },
};

/** The text of a file with the strategy of that number, from 0; nothing, when there are fewer. */
export function applyStrategy(
  text: string,
  finding: Finding,
  number: number,
): { readonly name: string; readonly text: string } | undefined {
  const source = parse(finding.file, text);
  const node = locate(source, finding);
  if (!node) return undefined;
  const strategy = codemods[finding.kind](source, finding, node)[number];
  return strategy && { name: strategy.name, text: edited(text, strategy.edits) };
}

function removeFunction(source: ts.SourceFile, { declaration }: Finding): readonly Strategy[] {
  const node = functionsOf(source).get(declaration);
  if (!node) return [];
  // With its comment and the empty line before it.
  const edit = { start: node.getFullStart(), end: node.getEnd(), text: "" };
  return [{ name: "remove what nobody calls", edits: [edit] }];
}

/** `old(a, b)` becomes `new({ first: a, second: b })`, in the whole file, its import too. */
function callReplacement(
  source: ts.SourceFile,
  { text: old, replacement }: Finding,
): readonly Strategy[] {
  if (!replacement) return [];
  const { name, parameters } = replacement;
  const edits: Edit[] = [];
  for (const node of nodesIn(source)) {
    if (ts.isImportSpecifier(node) && node.name.text === old) edits.push(replace(node, name));
    if (!ts.isCallExpression(node) || node.expression.getText() !== old) continue;
    const members = node.arguments.map((argument, index) => {
      const [parameter = "", value] = [parameters[index], argument.getText()];
      return parameter === value ? value : `${parameter}: ${value}`;
    });
    edits.push(replace(node, `${name}({ ${members.join(", ")} })`));
  }
  return [{ name: `call ${name}`, edits }];
}

/** The two that JavaScript has in its place: only one of them takes an end instead of a length. */
function replaceSubstr(
  _source: ts.SourceFile,
  { text }: Finding,
  node: ts.Node,
): readonly Strategy[] {
  const call = ts.findAncestor(node, ts.isCallExpression);
  if (text !== "substr" || !call || !ts.isPropertyAccessExpression(call.expression)) return [];
  const on = call.expression.expression.getText();
  const [from = "0", length] = call.arguments.map((argument) => argument.getText());
  const range = length === undefined ? from : `${from}, ${length}`;
  const end = length === undefined ? from : `${from}, ${from} + ${length}`;
  return [
    { name: "substring for substr", edits: [replace(call, `${on}.substring(${range})`)] },
    { name: "slice for substr", edits: [replace(call, `${on}.slice(${end})`)] },
  ];
}

function checkForNull(
  _source: ts.SourceFile,
  _finding: Finding,
  node: ts.Node,
): readonly Strategy[] {
  const { parent } = node;
  if (!ts.isPropertyAccessExpression(parent)) return [];
  const [value, member] = [node.getText(), parent.name.text];
  return [
    { name: "say that it is never null", edits: [replace(parent, `${value}!.${member}`)] },
    { name: "go on without it", edits: [replace(parent, `${value}?.${member}`)] },
    { name: "an empty text instead", edits: [replace(parent, `${value}?.${member} ?? ""`)] },
  ];
}

function convert(_source: ts.SourceFile, _finding: Finding, node: ts.Node): readonly Strategy[] {
  const variable = ts.findAncestor(node, ts.isVariableDeclaration);
  const { type, initializer } = variable ?? {};
  if (!type || !initializer) return [];
  const value = initializer.getText();
  const conversions = { number: "Number", string: "String", boolean: "Boolean" };
  const by = conversions[type.getText() as keyof typeof conversions];
  return [
    { name: "cast it", edits: [replace(initializer, `${value} as ${type.getText()}`)] },
    ...(by ? [{ name: "convert it", edits: [replace(initializer, `${by}(${value})`)] }] : []),
  ];
}
