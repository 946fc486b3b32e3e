import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { CadreError } from "../core/errors.ts";

/**
 * Loads a module of the user's by its path.
 * @throws {CadreError} NOT_FOUND, when there is no such file; what the module itself throws, passes
 */
export async function importModule(
  file: string,
  cwd: string,
): Promise<Readonly<Record<string, unknown>>> {
  const path = resolve(cwd, file);
  if (!existsSync(path)) {
    throw new CadreError("NOT_FOUND", `There is no file ${path}.`, { what: "file", id: path });
  }
  return (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
}
