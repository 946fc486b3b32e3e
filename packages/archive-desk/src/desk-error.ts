export type DeskErrorCode =
  | "DATASET_MISSING"
  | "FOLDER_UNREADABLE"
  | "NO_DOCUMENTS"
  | "INVALID_LIMIT"
  | "INVALID_CHUNK_SIZE"
  | "OTHER_PILE"
  | "NO_DESK_LOG"
  | "FOLDER_BUSY"
  | "NO_GRAPH"
  | "FRESH_NEEDS_FOLDER"
  | "CREW_FAILED";

/** What the desk says when it can't begin; the message tells what to do. */
export class DeskError extends Error {
  readonly code: DeskErrorCode;

  constructor(code: DeskErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DeskError";
    this.code = code;
  }
}
