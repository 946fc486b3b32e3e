import { type Finding, type Node, type Source, finding, nameOf, parse, walk } from "./source.ts";

const refusedNodes: Readonly<Record<string, string>> = {
  ExportDefaultDeclaration: "a default export; name it",
  TSEnumDeclaration: "an enum; use a union of strings or a frozen object",
  TSParameterProperty: "a parameter property; declare the field",
  TSExportAssignment: "`export =`; name the export",
  Decorator: "a decorator",
};

/** Syntax that does not belong to the language that Cadre is written in. */
export function checkSyntax(source: Source): Finding[] {
  const findings: Finding[] = [];
  walk(parse(source).program, (node) => {
    const complaint = refusedNodes[node.type] ?? namespace(node) ?? inheritance(node);
    // A configuration file's default export is how its reader finds it.
    if (node.type === "ExportDefaultDeclaration" && /\.config\.[jt]s$/.test(source.path)) return;
    if (complaint !== undefined) findings.push(finding(source, node.start, complaint));
  });
  return findings;
}

function namespace(node: Node): string | undefined {
  const isNamespace = node.type === "TSModuleDeclaration" && node["kind"] === "namespace";
  return isNamespace ? "a namespace; a file is one" : undefined;
}

function inheritance(node: Node): string | undefined {
  if (!node.type.startsWith("Class") || node["superClass"] === undefined) return undefined;
  if (node["superClass"] === null) return undefined;
  const parent = nameOf(node["superClass"]);
  if (parent?.endsWith("Error") === true) return undefined;
  return `inherits from ${parent ?? "an expression"}; only errors inherit`;
}

/** Exported names that say what kind of thing something is, not what it is. */
export function checkNames(source: Source): Finding[] {
  const findings: Finding[] = [];
  walk(parse(source).program, (node) => {
    if (!/^(?:ClassDeclaration|TSInterfaceDeclaration|TSTypeAliasDeclaration)$/.test(node.type)) {
      return;
    }
    const name = nameOf(node["id"]) ?? "";
    if (/(?:Impl|Manager|Helper|Utils?)$|^I[A-Z][a-z]/.test(name)) {
      findings.push(finding(source, node.start, `the name ${name} says nothing; what is it?`));
    }
  });
  return findings;
}

/** Names of files and folders that collect what has no place. */
export function checkFileName(source: Source): Finding[] {
  const words = source.path.split("/");
  const file = words.at(-1) ?? "";
  const findings: Finding[] = [];
  const complain = (message: string): void => {
    findings.push({ path: source.path, line: 1, message });
  };
  if (/^(?:utils?|types?|helpers?|common|misc)\.[a-z.]+$/.test(file)) {
    complain("the file's name is no noun; what is in it?");
  }
  if (words.slice(0, -1).some((word) => /^(?:common|utils?|helpers?|misc)$/.test(word))) {
    complain("the folder's name is no noun; what is in it?");
  }
  if (!/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.(?:test|types|config|d|bench))*\.[a-z]+$/.test(file)) {
    complain("the file's name is not kebab-case");
  }
  return findings;
}
