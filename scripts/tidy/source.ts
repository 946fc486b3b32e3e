import { extname } from "node:path";
import { type Comment, parseSync } from "oxc-parser";

/** A file as the rules see it: its path from the root of the workspace, and its text. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** One thing that a rule found. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** A node of the syntax tree, as far as the rules look at it. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export interface Parsed {
  readonly program: Node;
  readonly comments: readonly Comment[];
}

const parsedSources = new WeakMap<Source, Parsed>();

/** Whether the file is one that the parser reads. */
export function isCode(path: string): boolean {
  return [".ts", ".js", ".tsx", ".mjs"].includes(extname(path));
}

export function parse(source: Source): Parsed {
  const known = parsedSources.get(source);
  if (known !== undefined) return known;
  const { program, comments, errors } = parseSync(source.path, source.text);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${source.path} does not parse: ${error.message}`);
  const parsed = { program: program as unknown as Node, comments }; // our Node is a view of theirs
  parsedSources.set(source, parsed);
  return parsed;
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

/**
 * Calls `visit` with every node below `node`, itself included, and with the nodes above it, the
 * nearest last.
 */
export function walk(node: Node, visit: (node: Node, above: readonly Node[]) => void): void {
  const above: Node[] = [];
  const descend = (current: Node): void => {
    visit(current, above);
    above.push(current);
    for (const value of Object.values(current)) {
      if (isNode(value)) descend(value);
      else if (Array.isArray(value)) for (const item of value) if (isNode(item)) descend(item);
    }
    above.pop();
  };
  descend(node);
}

/** The line of an offset, from 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) {
    line += 1;
  }
  return line;
}

export function finding(source: Source, offset: number, message: string): Finding {
  return { path: source.path, line: lineAt(source.text, offset), message };
}

/** The name of an identifier, or the text of a string literal. */
export function nameOf(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === "Identifier") return String(value["name"]);
  if (value.type === "Literal" && typeof value["value"] === "string") return value["value"];
  return undefined;
}
