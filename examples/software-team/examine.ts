/**
 * What is wrong with the library: by the compiler's diagnostics, by its types, by the call graph,
 * and by the tests.
 *
 * A test that fails and reaches a finding of the compiler is taken to fail because of it. For the
 * others the function is suspected that failing tests reach and passing ones don't.
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";
import { callGraph, isOwn, type CallGraph } from "./call-graph.ts";
import type { Finding, FindingKind, Health } from "./contract.ts";
import { declarationOf, functionsOf, nodeAt, nodesIn } from "./syntax.ts";
import type { TestRun } from "./test-run.ts";

/** What codes of the compiler mean to this team. Others are reported, and have no codemod. */
const kinds: Readonly<Record<number, FindingKind>> = {
  2322: "type-mismatch",
  2532: "missing-null-check",
  2801: "missing-await",
  6133: "dead-code",
  6385: "deprecated-call",
  6387: "deprecated-call",
  18048: "missing-null-check",
};

/** Found here before tests are looked at; `examine` adds those. */
type Draft = Omit<Finding, "id" | "tests">;

export function examine(folder: string, run: TestRun): Health {
  const service = ts.createLanguageService(hostOf(folder));
  const program = service.getProgram();
  if (!program) throw new Error(`The compiler makes nothing of ${folder}.`);
  const graph = callGraph(program, folder);
  const drafts = new Map<string, Draft>();
  const add = (draft: Draft): void => {
    const id = idOf(draft);
    if (!drafts.has(id)) drafts.set(id, draft);
  };
  for (const file of program.getSourceFiles()) {
    if (!isOwn(file, folder) || !file.fileName.startsWith(join(folder, "src/"))) continue;
    for (const draft of diagnosed(service, program, file, folder)) add(draft);
    for (const draft of unsorted(program, file, folder)) add(draft);
    for (const draft of unused(graph, file, folder)) add(draft);
  }
  const explained = [...drafts].map(([id, draft]): Finding => {
    return { ...draft, id, tests: reaching(graph, run.failing, draft) };
  });
  const known = new Set(explained.flatMap(({ tests }) => tests));
  const unexplained = run.failing.filter((test) => !known.has(test));
  const findings = [...explained, ...suspected(graph, run, unexplained)];
  findings.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { findings, failing: run.failing, passing: run.passing.length };
}

function idOf({ kind, file, declaration, text }: Draft): string {
  const place = file.replace(/^src\//, "").replace(/\.ts$/, "");
  const what = kind === "deprecated-call" ? [text] : [];
  return [kind, place, ...(declaration === "" ? [] : [declaration]), ...what].join(".");
}

function hostOf(folder: string): ts.LanguageServiceHost {
  const read = (path: string): string | undefined => ts.sys.readFile(path);
  const { config } = ts.readConfigFile(join(folder, "tsconfig.json"), read);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
  const files = ["src", "test"].flatMap((part) => {
    return ts.sys.readDirectory(join(folder, part), [".ts"]).sort();
  });
  return {
    getCompilationSettings: () => options,
    getScriptFileNames: () => files,
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) =>
      ts.sys.fileExists(name)
        ? ts.ScriptSnapshot.fromString(readFileSync(name, "utf8"))
        : undefined,
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (path) => ts.sys.fileExists(path),
    readFile: read,
  };
}

function* diagnosed(
  service: ts.LanguageService,
  program: ts.Program,
  file: ts.SourceFile,
  folder: string,
): Generator<Draft> {
  const all = [
    ...service.getSyntacticDiagnostics(file.fileName),
    ...service.getSemanticDiagnostics(file.fileName),
    ...service.getSuggestionDiagnostics(file.fileName).filter(({ code }) => kinds[code]),
  ];
  for (const { code, start = 0, length = 0, messageText } of all) {
    const node = nodeAt(file, start, length);
    // An import of what is deprecated goes with the calls.
    if (code >= 6385 && code <= 6387 && ts.findAncestor(node, ts.isImportDeclaration)) continue;
    const kind = kinds[code] ?? "compile-error";
    const message = ts.flattenDiagnosticMessageText(messageText, "").replaceAll(/ +/g, " ");
    const found = { file: relative(folder, file.fileName), declaration: declarationOf(node) };
    const draft = { ...found, kind, text: node.getText(), message };
    yield kind === "deprecated-call" ? deprecated(program, node, draft) : draft;
  }
}

/** A deprecated function names the one to be called; a deprecated method is one of the language. */
function deprecated(program: ts.Program, node: ts.Node, draft: Draft): Draft {
  const checker = program.getTypeChecker();
  let symbol = checker.getSymbolAtLocation(node);
  if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
  const declaration = symbol?.valueDeclaration;
  const tag = symbol?.getJsDocTags().find(({ name }) => name === "deprecated");
  const [, name] = /`(\w+)`/.exec(ts.displayPartsToString(tag?.text)) ?? [];
  if (name === undefined || !declaration || !ts.isFunctionDeclaration(declaration)) {
    return { ...draft, kind: "deprecated-method" };
  }
  const parameters = declaration.parameters.map((parameter) => parameter.name.getText());
  // One finding for a file: all its calls are changed together.
  return { ...draft, declaration: "", replacement: { name, parameters } };
}

/** `sort()` without a comparison, of numbers: it sorts them as texts. */
function* unsorted(program: ts.Program, file: ts.SourceFile, folder: string): Generator<Draft> {
  const checker = program.getTypeChecker();
  for (const node of nodesIn(file)) {
    if (!ts.isCallExpression(node) || node.arguments.length > 0) continue;
    if (!ts.isPropertyAccessExpression(node.expression)) continue;
    if (!/^(?:sort|toSorted)$/.test(node.expression.name.text)) continue;
    const list = checker.getTypeAtLocation(node.expression.expression);
    const item = checker.getIndexTypeOfType(list, ts.IndexKind.Number);
    if (!item || !(item.flags & ts.TypeFlags.NumberLike)) continue;
    yield {
      kind: "unsorted-numbers",
      file: relative(folder, file.fileName),
      declaration: declarationOf(node),
      text: node.getText(),
      message: "Numbers are sorted as texts.",
    };
  }
}

/** Functions that nobody names. */
function* unused(graph: CallGraph, file: ts.SourceFile, folder: string): Generator<Draft> {
  const path = relative(folder, file.fileName);
  for (const name of functionsOf(file).keys()) {
    if (graph.used.has(`${path}#${name}`)) continue;
    const message = `Nobody calls '${name}'.`;
    yield { kind: "dead-code", file: path, declaration: name, text: name, message };
  }
}

function reaching(graph: CallGraph, failing: readonly string[], draft: Draft): string[] {
  const place = `${draft.file}#${draft.declaration}` as const;
  // What is deprecated works, and what is dead is not reached.
  if (draft.kind.startsWith("de")) return [];
  return failing.filter((test) => graph.tests.get(test)?.has(place));
}

/** The functions that failing tests reach, those first that passing tests don't. */
function suspected(graph: CallGraph, run: TestRun, failing: readonly string[]): Finding[] {
  const found = new Map<string, Finding>();
  for (const test of failing) {
    const [first] = [...(graph.tests.get(test) ?? [])]
      .map((place) => {
        const passed = run.passing.filter((name) => graph.tests.get(name)?.has(place)).length;
        return { place, passed };
      })
      .sort((a, b) => a.passed - b.passed || (a.place < b.place ? -1 : 1));
    const [file = "test", declaration = test] = first?.place.split("#") ?? [];
    const draft = { kind: "failing-test", file, declaration, text: declaration } as const;
    const id = idOf({ ...draft, message: "" });
    const tests = [...(found.get(id)?.tests ?? []), test];
    const message = `A test fails: ${tests.join("; ")}`;
    found.set(id, { ...draft, id, tests, message });
  }
  return [...found.values()];
}
