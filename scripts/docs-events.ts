/** The tables of docs/reference/events.md, from the built-in registry. */
import { builtinEvents, type EventTypeInfo, legacyNames } from "cadre";
import { type MadePage, table, writeIfMain } from "./docs-pages.ts";

interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema;
}

/** The page, with the tables that the registry makes. */
export const eventsPage: MadePage = {
  path: "docs/reference/events.md",
  made: familiesText(builtinEvents.list()),
};

function familiesText(types: readonly EventTypeInfo[]): string {
  const families = new Map<string, EventTypeInfo[]>();
  for (const info of types) {
    const family = info.type.split(".")[0] ?? info.type;
    families.set(family, [...(families.get(family) ?? []), info]);
  }
  return [...families].map(([family, infos]) => familyText(family, infos)).join("\n");
}

function familyText(family: string, infos: readonly EventTypeInfo[]): string {
  const head = ["type", "version", "meaning", "payload", "older name"];
  const rows = infos.map(({ type, version, description = "", schema }) => [
    `\`${type}\``,
    version,
    description,
    membersText(schema as Schema | undefined),
    Object.hasOwn(legacyNames, type) ? `\`${legacyNames[type]}\`` : "",
  ]);
  return `## ${family}\n\n${table(head, rows)}\n`;
}

function membersText({ properties = {}, required = [] }: Schema = {}): string {
  const members = Object.entries(properties).map(([name, schema]) => {
    const mark = required.includes(name) ? "" : "?";
    return `\`${name}${mark}: ${typeText(schema)}\``;
  });
  return members.length === 0 ? "any object" : members.join(", ");
}

function typeText(schema: Schema): string {
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") {
    const item = typeText(schema.items ?? {});
    return item.includes(" | ") ? `(${item})[]` : `${item}[]`;
  }
  if (schema.type === "object") {
    return schema.additionalProperties
      ? `{ [name]: ${typeText(schema.additionalProperties)} }`
      : objectText(schema);
  }
  return schema.type ?? "JSON";
}

function objectText({ properties = {}, required = [] }: Schema): string {
  const members = Object.entries(properties).map(
    ([name, schema]) => `${name}${required.includes(name) ? "" : "?"}: ${typeText(schema)}`,
  );
  return members.length === 0 ? "object" : `{ ${members.join("; ")} }`;
}

writeIfMain(eventsPage, import.meta.url);
