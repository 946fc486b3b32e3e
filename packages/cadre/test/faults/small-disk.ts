/** A small file system of the test's own, that can be filled. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk {
  readonly path: string;
  unmount(): void;
}

/** Undefined where nothing can be mounted. */
export function mountDisk(megabytes: number): SmallDisk | undefined {
  const path = mkdtempSync(join(tmpdir(), "cadre-disk-"));
  try {
    const options = ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path];
    execFileSync("mount", options, { stdio: "ignore" });
  } catch {
    rmdirSync(path);
    return undefined;
  }
  const unmount = (): void => {
    execFileSync("umount", ["-l", path], { stdio: "ignore" });
    rmdirSync(path);
  };
  return { path, unmount };
}

/** Runs `start` so that the temporary folders which it makes lie on the disk. */
export async function onDisk<T>(disk: SmallDisk | undefined, start: () => Promise<T>): Promise<T> {
  if (disk === undefined) return start();
  const home = process.env["TMPDIR"];
  process.env["TMPDIR"] = disk.path;
  try {
    return await start();
  } finally {
    if (home === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = home;
  }
}

/** Fills a disk to its last byte; the returned function makes room again. */
export function fillDisk({ path }: SmallDisk): () => void {
  const file = join(path, "filler");
  for (const bytes of [1_048_576, 4_096, 512]) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: "a" });
    } catch {
      // Smaller pieces may still fit.
    }
  }
  assert.equal(statfsSync(path).bavail, 0, "the disk is full");
  return () => rmSync(file);
}
