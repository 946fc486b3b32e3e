import { DeskError, type DeskErrorCode } from "./desk-error.ts";

/** Those of the command line that the desk uses. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  unavailable: 4,
  interrupted: 130,
} as const;

const exitCodeByError: Readonly<Record<DeskErrorCode, number>> = {
  DATASET_MISSING: exitCodes.unavailable,
  FOLDER_UNREADABLE: exitCodes.usage,
  NO_DOCUMENTS: exitCodes.usage,
  INVALID_LIMIT: exitCodes.usage,
  INVALID_CHUNK_SIZE: exitCodes.usage,
  OTHER_PILE: exitCodes.usage,
  NO_DESK_LOG: exitCodes.usage,
  FOLDER_BUSY: exitCodes.unavailable,
  NO_GRAPH: exitCodes.notFound,
  FRESH_NEEDS_FOLDER: exitCodes.usage,
  CREW_FAILED: exitCodes.failed,
};

/** Tells a person what is wrong; returns the exit code. What isn't the desk's own is thrown on. */
export function reportDeskError(error: unknown): number {
  if (!(error instanceof DeskError)) throw error;
  process.stderr.write(`cadre: ${error.message} (${error.code})\n`);
  return exitCodeByError[error.code];
}
