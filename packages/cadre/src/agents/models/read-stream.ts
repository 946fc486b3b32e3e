/** Reading a model's streamed text along, from any process. */
import { systemClock, type Clock } from "../../core/clock.ts";
import { CadreError } from "../../core/errors.ts";
import type { JsonValue } from "../../core/json.ts";
import type { EventStore } from "../../store/event-store.ts";
import { loadTask } from "../task-board.ts";
import { isFinal, taskStream } from "../task-fold.ts";
import { readRecord, type CallRecord } from "./model-record.ts";
import { textOf } from "./model-stream.ts";
import { headVersion, piecesOf, type StreamPiece } from "./stream-pieces.ts";

export interface ReadStreamOptions {
  /** Characters of the text that the reader has. @default 0 */
  readonly fromOffset?: number;
  /** The generation that they are of. @default the one that runs */
  readonly generation?: number;
  /** Ends the reading. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

const lookEveryMs = 250; // slots alone need not wake a watcher

/**
 * The text of a model's stream while it comes, in order and without gaps; the last piece is marked.
 * A stream's id is the key of its step: the task's id, `/`, and the step's name, such as
 * `write-1/model#1`. A reader that was away goes on behind the offset that it had. After the end it
 * is read from the journal. A stream that is begun again, for its process died, begins at offset 0
 * with a higher generation.
 *
 * @throws {CadreError} WRONG_STATE, when its task has ended without it
 */
export async function* readStream(
  store: EventStore,
  streamId: string,
  options: ReadStreamOptions = {},
): AsyncGenerator<StreamPiece, void, undefined> {
  const { signal, clock = systemClock } = options;
  let { fromOffset: offset = 0, generation = 0 } = options;
  let number = 0;
  let lookedAt = -Infinity;
  let known: number | undefined;
  const wake = new Wake(store, clock);
  try {
    while (!signal?.aborted) {
      const read = number;
      const version = await headVersion(store, streamId);
      const hasEnded = version === undefined && known !== undefined;
      // Every write of the store wakes a reader, and hardly any is of its stream.
      const pieces = version === known ? [] : await piecesOf(store, streamId);
      known = version;
      for (const piece of pieces) {
        // A run that was taken over may still have left a piece.
        if (piece.generation < generation) continue;
        if (generation !== 0 && piece.generation > generation) offset = 0;
        generation = piece.generation;
        const text = piece.text.slice(Math.max(0, offset - piece.offset));
        // A piece that another run has written over is left for the next look.
        if (text === "" || piece.offset > offset) continue;
        ({ number } = piece);
        yield { ...piece, offset, text };
        offset += text.length;
      }
      const isDue = hasEnded || clock.monotonic() - lookedAt >= lookEveryMs;
      // The whole journal is only looked at when nothing else is to be had, and now and then.
      if (number !== read || !isDue) {
        await wake.within(lookEveryMs, signal);
        continue;
      }
      lookedAt = clock.monotonic();
      const record = await recordOf(store, streamId);
      if (record) {
        const isOther = generation !== 0 && (record.generation ?? generation) !== generation;
        const next = isOther ? generation + 1 : Math.max(1, generation);
        generation = Math.max(next, record.generation ?? 0);
        if (isOther) [offset, number] = [0, 0];
        const text = textOf(record).slice(offset);
        yield { streamId, generation, number: number + 1, offset, text, last: true };
        return;
      }
      await assertRuns(store, streamId);
      await wake.within(lookEveryMs, signal);
    }
  } finally {
    wake.close();
  }
}

/** The stream of the handler, by the id of the stream that it has begun. */
function handlerOf(streamId: string): string {
  return streamId.slice(0, streamId.lastIndexOf("/"));
}

async function recordOf(store: EventStore, streamId: string): Promise<CallRecord | undefined> {
  const handler = handlerOf(streamId);
  for (const stream of [taskStream(handler), `handling/${handler}`]) {
    for await (const { event } of store.read({ stream, type: "step.receipt" })) {
      const { key, result } = event.payload as Readonly<Record<string, JsonValue>>;
      if (key === streamId) return readRecord(result);
    }
  }
  return undefined;
}

async function assertRuns(store: EventStore, streamId: string): Promise<void> {
  const task = await loadTask(store, handlerOf(streamId));
  if (!task || !isFinal(task.state.status)) return;
  // It may have been recorded after we looked.
  if (await recordOf(store, streamId)) return;
  const { id, status } = task.state;
  const message = `Task ${id} is ${status}, and has no stream "${streamId}" on record.`;
  throw new CadreError("WRONG_STATE", message, { what: `stream ${streamId}`, state: status });
}

class Wake {
  readonly #clock: Clock;
  readonly #unwatch: () => void;
  #wake: () => void = () => {};
  #isDue = false;

  constructor(store: EventStore, clock: Clock) {
    this.#clock = clock;
    this.#unwatch = store.watch(() => {
      this.#isDue = true;
      this.#wake();
    });
  }

  async within(ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (!this.#isDue) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(ms, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
        signal?.addEventListener("abort", this.#wake, { once: true });
      });
      signal?.removeEventListener("abort", this.#wake);
    }
    this.#isDue = false;
  }

  close(): void {
    this.#unwatch();
  }
}
