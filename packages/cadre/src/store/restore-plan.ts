import type { LogPosition, StoredEvent } from "./event-store.ts";
import { importConflict, rowLine } from "./row-line.ts";

/** Decides about the rows of one restore, in their order, before any of them is written. */
export class RestorePlan {
  #head: LogPosition;
  #recordedAt: number;
  readonly #versions = new Map<string, number>();
  readonly #ids = new Set<string>();

  /** @param recordedAt of the log's last event */
  constructor(head: LogPosition, recordedAt: number) {
    this.#head = head;
    this.#recordedAt = recordedAt;
  }

  /**
   * Whether `row` must be written; false when it is in the log already, the same in everything.
   *
   * @param there what the log has under its id
   * @param versionInLog the version of its stream in the log
   * @throws {CadreError} IMPORT_CONFLICT
   */
  isNew(row: StoredEvent, there: StoredEvent | undefined, versionInLog: () => number): boolean {
    const { position, stream, version = 0, event } = row;
    if (there) {
      if (rowLine(there) === rowLine(row)) return false;
      throw importConflict(
        position,
        `its id ${event.id} is at position ${there.position}, another`,
      );
    }
    if (this.#ids.has(event.id)) throw importConflict(position, `its id ${event.id} comes twice`);
    if (position <= this.#head) {
      throw importConflict(position, `the log already reaches to ${this.#head} without it`);
    }
    if (row.recordedAt < this.#recordedAt) {
      throw importConflict(position, "it was recorded before the event in front of it");
    }
    if (stream !== undefined) {
      const reached = this.#versions.get(stream) ?? versionInLog();
      if (version <= reached) {
        throw importConflict(
          position,
          `"${stream}" is at version ${reached}, and this is ${version}`,
        );
      }
      this.#versions.set(stream, version);
    }
    this.#ids.add(event.id);
    this.#head = position;
    this.#recordedAt = row.recordedAt;
    return true;
  }
}
