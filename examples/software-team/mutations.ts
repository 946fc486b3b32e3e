/**
 * Repair by trial: small changes of a function that a failing test suspects, in the order of its
 * text, until the tests pass. See Weimer et al., "Automatically finding patches using genetic
 * programming" (2009); here nothing is bred, each change is tried alone.
 */
import ts from "typescript";
import { nodesIn, replace, type Strategy } from "./syntax.ts";

/** What a comparison may have been meant to be. */
const comparisons: Readonly<Record<string, string>> = {
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "===": "!==",
  "!==": "===",
};

export function mutations(suspect: ts.FunctionDeclaration): readonly Strategy[] {
  const found: Strategy[] = [];
  for (const node of nodesIn(suspect)) {
    if (!ts.isBinaryExpression(node)) continue;
    const [left, operator, right] = [node.left, node.operatorToken, node.right].map((part) => {
      return part.getText();
    });
    const other = comparisons[operator ?? ""];
    const write = (text: string): Strategy => ({
      name: `${text} for ${node.getText()}`,
      edits: [replace(node, text)],
    });
    if (other !== undefined) found.push(write(`${left} ${other} ${right}`));
    if (/^[+-]$/.test(operator ?? "") && right === "1") found.push(write(left ?? ""));
  }
  return found;
}
