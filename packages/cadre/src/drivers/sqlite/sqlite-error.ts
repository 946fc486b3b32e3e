import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";
import { CadreError } from "../../core/errors.ts";

/** SQLite's result codes, as far as they are told apart here (https://sqlite.org/rescode.html). */
const code = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  constraint: 19,
  notADatabase: 26,
  ioErrorWrite: 778,
  ioErrorSharedMemory: 4_874,
} as const;

/** The extended result code of an error that SQLite raised. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode : undefined;
}

/** Another connection holds the lock: the same call may succeed in a moment. */
export function isBusy(error: unknown): boolean {
  const primary = (sqliteCode(error) ?? 0) & 0xff;
  return primary === code.busy || primary === code.locked;
}

/** What was written is there already. */
export function isConstraint(error: unknown): boolean {
  return ((sqliteCode(error) ?? 0) & 0xff) === code.constraint;
}

/**
 * The error of this library for what went wrong with the file at `path`; what is not SQLite's comes
 * back as it is.
 */
export function storeError(error: unknown, path: string): unknown {
  const extended = sqliteCode(error);
  if (extended === undefined || !(error instanceof Error)) return error;
  switch (extended & 0xff) {
    case code.full:
      return storeFull(path, error);
    case code.readOnly:
      return readOnly(path, error);
    case code.corrupt:
    case code.notADatabase:
      return corrupt(path, error.message, error);
    case code.ioError:
      // What maps or writes pages that the disk has no room for says so as an I/O error.
      if (extended === code.ioErrorWrite || extended === code.ioErrorSharedMemory) {
        return storeFull(path, error);
      }
      return unavailable(path, error.message, error);
    case code.cannotOpen:
      return isWritable(dirname(path))
        ? unavailable(path, error.message, error)
        : readOnly(path, error);
    case code.busy:
    case code.locked:
      return unavailable(path, "another process holds its lock for too long", error);
    default:
      return error;
  }
}

function storeFull(path: string, cause: unknown): CadreError<"STORE_FULL"> {
  return new CadreError(
    "STORE_FULL",
    `The disk has no room for "${path}". Nothing of the commit was kept; free some space and commit again.`,
    { path },
    cause,
  );
}

export function readOnly(path: string, cause?: unknown): CadreError<"STORE_READ_ONLY"> {
  return new CadreError(
    "STORE_READ_ONLY",
    `"${path}" cannot be written: the file, its folder or the file system is read-only.`,
    { path },
    cause,
  );
}

export function corrupt(
  path: string,
  reason: string,
  cause?: unknown,
): CadreError<"STORE_CORRUPT"> {
  return new CadreError(
    "STORE_CORRUPT",
    `"${path}" is no sound log: ${reason}. Nothing was changed; restore it from a copy, or give another path.`,
    { path, reason },
    cause,
  );
}

export function unavailable(
  path: string,
  reason: string,
  cause?: unknown,
): CadreError<"STORE_UNAVAILABLE"> {
  return new CadreError(
    "STORE_UNAVAILABLE",
    `"${path}" cannot be used: ${reason}.`,
    { path, reason },
    cause,
  );
}

export function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
