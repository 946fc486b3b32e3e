import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

const folders: string[] = [];

/** The path of a file that doesn't exist, in a folder of its own that goes when the tests end. */
export function temporaryFile(name = "log.db"): string {
  return join(temporaryFolder(), name);
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "cadre-sqlite-"));
  folders.push(folder);
  return folder;
}

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
