/** Finding nodes of a source file again, after others have changed it. */
import ts from "typescript";

export function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
}

/** All nodes below one, in the order of the text. */
export function* nodesIn(node: ts.Node): Generator<ts.Node> {
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) {
    yield child;
    yield* nodesIn(child);
  }
}

/** The functions of a file by name. */
export function functionsOf(source: ts.SourceFile): ReadonlyMap<string, ts.FunctionDeclaration> {
  const found = new Map<string, ts.FunctionDeclaration>();
  for (const statement of source.statements) {
    if (ts.isFunctionDeclaration(statement) && statement.name) {
      found.set(statement.name.text, statement);
    }
  }
  return found;
}

/** The name of the function in which a node is; empty outside of all. */
export function declarationOf(node: ts.Node): string {
  for (let at: ts.Node = node; at.parent; at = at.parent) {
    if (ts.isFunctionDeclaration(at) && at.name) return at.name.text;
  }
  return "";
}

/** The widest node that ends with a position's token and begins there. */
export function nodeAt(source: ts.SourceFile, start: number, length: number): ts.Node {
  for (const node of nodesIn(source)) {
    if (node.getStart() === start && node.getEnd() === start + length) return node;
  }
  return source;
}

/** The first node of this text in a declaration, or in the whole file. */
export function locate(
  source: ts.SourceFile,
  { declaration, text }: { readonly declaration: string; readonly text: string },
): ts.Node | undefined {
  const within = declaration === "" ? source : functionsOf(source).get(declaration);
  if (!within) return undefined;
  for (const node of nodesIn(within)) if (node.getText() === text) return node;
  return undefined;
}

export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** One way to mend something. */
export interface Strategy {
  /** What it does, for the commit's message. */
  readonly name: string;
  readonly edits: readonly Edit[];
}

export function replace(node: ts.Node, text: string): Edit {
  return { start: node.getStart(), end: node.getEnd(), text };
}

/** The text with all edits made, which don't overlap. */
export function edited(text: string, edits: readonly Edit[]): string {
  let result = text;
  for (const edit of [...edits].sort((a, b) => b.start - a.start)) {
    result = result.slice(0, edit.start) + edit.text + result.slice(edit.end);
  }
  return result;
}
