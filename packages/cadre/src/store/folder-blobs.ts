import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { BlobInfo, BlobStore } from "../core/claim-check.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { checked, contentName } from "./store-blobs.ts";

const namePattern = /^sha256-[0-9a-f]{64}$/;

/**
 * Blobs as files of a folder, made where there is none. Several processes may share it, also over a
 * network's file system. A blob that was put is on disk.
 */
export function folderBlobs(
  folder: string,
  { clock = systemClock }: { clock?: Clock } = {},
): BlobStore {
  let files = 0;
  const pathOf = (name: string): string => join(folder, name.slice(7, 9), `${name}.json`);
  const touch = async (path: string): Promise<boolean> => {
    const seconds = clock.now() / 1_000;
    return utimes(path, seconds, seconds).then(() => true, isMissing);
  };
  return {
    async put(text) {
      const name = contentName(text);
      const path = pathOf(name);
      if (await touch(path)) return name;
      await mkdir(join(path, ".."), { recursive: true });
      files += 1;
      // Written aside and renamed: what has the name is whole.
      const draft = `${path}.${process.pid}-${files}.draft`;
      await writeToDisk(draft, text);
      await rename(draft, path);
      await touch(path);
      await syncFolder(join(path, ".."));
      return name;
    },
    async get(name) {
      if (!namePattern.test(name)) return undefined;
      try {
        return checked(name, await readFile(pathOf(name), "utf8"));
      } catch (error) {
        if (isMissingError(error)) return undefined;
        throw error;
      }
    },
    async *list() {
      const found = await readdir(folder, { recursive: true }).catch(emptyIfMissing);
      for (const file of found.toSorted()) {
        const name = file.slice(-76, -5);
        if (!namePattern.test(name) || !file.endsWith(".json")) continue;
        const info = await infoOf(name, pathOf(name));
        if (info) yield info;
      }
    },
    async remove({ name, putAt }) {
      if (!namePattern.test(name)) return false;
      const info = await infoOf(name, pathOf(name));
      if (info?.putAt !== putAt) return false;
      await rm(pathOf(name), { force: true });
      return true;
    },
  };
}

async function infoOf(name: string, path: string): Promise<BlobInfo | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { name, bytes: size, putAt: Math.round(mtimeMs) };
  } catch (error) {
    if (isMissingError(error)) return undefined;
    throw error;
  }
}

async function writeToDisk(path: string, text: string): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The name is on disk, too. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isMissingError(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function isMissing(error: unknown): false {
  if (isMissingError(error)) return false;
  throw error;
}

function emptyIfMissing(error: unknown): string[] {
  if (isMissingError(error)) return [];
  throw error;
}
