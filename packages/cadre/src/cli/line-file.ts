/** Files of lines, read and written as streams: neither is ever in memory as a whole. */
import { createReadStream, createWriteStream } from "node:fs";
import { once } from "node:events";
import { resolve } from "node:path";
import process from "node:process";

import { CadreError } from "../core/errors.ts";

/** The lines of a file, or of standard input for `-`. Nothing but a line feed ends a line. */
export async function* readLines(file: string, cwd: string): AsyncIterable<string> {
  const source = file === "-" ? process.stdin : createReadStream(resolve(cwd, file));
  let rest = "";
  try {
    source.setEncoding("utf8");
    for await (const chunk of source) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  } catch (error) {
    throw fileError(file, error);
  }
  if (rest !== "") yield rest;
}

/**
 * Writes lines into a new file. Returns how many.
 * @throws {CadreError} WRONG_STATE, when there is such a file already
 */
export async function writeLines(
  file: string,
  cwd: string,
  lines: AsyncIterable<string>,
): Promise<number> {
  const out = createWriteStream(resolve(cwd, file), { flags: "wx" });
  let count = 0;
  try {
    await once(out, "open");
    for await (const line of lines) {
      count += 1;
      if (!out.write(`${line}\n`)) await once(out, "drain");
    }
    out.end();
    await once(out, "finish");
    return count;
  } catch (error) {
    out.destroy();
    throw fileError(file, error);
  }
}

function fileError(file: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  if (error.code === "ENOENT") {
    return new CadreError("NOT_FOUND", `There is no ${file}.`, { what: "file", id: file }, error);
  }
  if (error.code !== "EEXIST") return error;
  const message = `There is a file ${file} already. Name a new one.`;
  return new CadreError("WRONG_STATE", message, { what: file, state: "there" }, error);
}
