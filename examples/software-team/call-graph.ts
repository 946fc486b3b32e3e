/** Who calls whom: the functions of the library that each test and each export can reach. */
import { relative } from "node:path";
import ts from "typescript";
import { functionsOf, nodesIn } from "./syntax.ts";

/** `src/pages.ts#pageOf` */
export type FunctionName = `${string}#${string}`;

export interface CallGraph {
  /** By the name of a test: the functions that it can reach. */
  readonly tests: ReadonlyMap<string, ReadonlySet<FunctionName>>;
  /** Functions that anybody outside of themselves names. */
  readonly used: ReadonlySet<FunctionName>;
}

export function callGraph(program: ts.Program, folder: string): CallGraph {
  const checker = program.getTypeChecker();
  const own = program.getSourceFiles().filter((file) => isOwn(file, folder));
  const named = new Map<ts.FunctionDeclaration, ReadonlySet<ts.FunctionDeclaration>>();
  const used = new Set<FunctionName>();
  const nameOf = (node: ts.FunctionDeclaration): FunctionName =>
    `${relative(folder, node.getSourceFile().fileName)}#${node.name?.text ?? ""}`;

  const namedIn = (node: ts.Node): Set<ts.FunctionDeclaration> => {
    const found = new Set<ts.FunctionDeclaration>();
    for (const child of nodesIn(node)) {
      const declaration = ts.isIdentifier(child) ? functionOf(checker, child) : undefined;
      if (declaration && isOwn(declaration.getSourceFile(), folder)) found.add(declaration);
    }
    return found;
  };
  for (const file of own) {
    for (const statement of file.statements) {
      if (ts.isImportDeclaration(statement)) continue; // what is only imported is not used
      const others = namedIn(statement);
      if (ts.isFunctionDeclaration(statement)) {
        others.delete(statement);
        named.set(statement, others);
      }
      for (const other of others) used.add(nameOf(other));
    }
  }
  const tests = new Map<string, ReadonlySet<FunctionName>>();
  for (const file of own) {
    for (const { name, body } of testsOf(file)) {
      const reached = new Set<ts.FunctionDeclaration>();
      const open = [...namedIn(body)];
      for (let next = open.pop(); next; next = open.pop()) {
        if (reached.has(next)) continue;
        reached.add(next);
        open.push(...(named.get(next) ?? []));
      }
      tests.set(name, new Set([...reached].map(nameOf)));
    }
  }
  return { tests, used };
}

export function isOwn(file: ts.SourceFile, folder: string): boolean {
  return !file.isDeclarationFile && file.fileName.startsWith(`${folder}/`);
}

/** The function that an identifier means, through imports and re-exports. */
function functionOf(
  checker: ts.TypeChecker,
  identifier: ts.Identifier,
): ts.FunctionDeclaration | undefined {
  let symbol = checker.getSymbolAtLocation(identifier);
  if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
  const declaration = symbol?.valueDeclaration;
  if (!declaration || !ts.isFunctionDeclaration(declaration)) return undefined;
  // Not what is local to another function.
  return functionsOf(declaration.getSourceFile()).get(declaration.name?.text ?? "");
}

function testsOf(file: ts.SourceFile): { readonly name: string; readonly body: ts.Node }[] {
  const found = [];
  for (const node of nodesIn(file)) {
    if (!ts.isCallExpression(node) || node.expression.getText() !== "test") continue;
    const [name, body] = node.arguments;
    if (name && body && ts.isStringLiteral(name)) found.push({ name: name.text, body });
  }
  return found;
}
