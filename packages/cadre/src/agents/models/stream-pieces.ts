/**
 * The text of a stream that runs, for whoever reads along: slots, and not events of the log.
 *
 *   text ──▶ kept back for a moment ──▶ piece 1 │ piece 2 │ piece 3 …    gone when it is recorded
 *
 * Each piece has its number, and the offset of its first character in the text. A stream that is
 * begun again, after a crash, is another generation, and its offsets begin at 0. A reader that
 * comes late, or was away, asks for what is behind an offset; when the slots are gone it is given
 * the rest of the record.
 */
import type { AgentEvent } from "../../core/event.ts";
import type { EventStore } from "../../store/event-store.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import type { StreamOptions } from "./model-options.ts";

/** A piece of a stream's text. */
export interface StreamPiece {
  readonly streamId: string;
  /** Higher when the stream was begun again: the text before is of no use then. */
  readonly generation: number;
  /** From 1 in each generation. */
  readonly number: number;
  /** Of its first character, in the text of its generation. */
  readonly offset: number;
  readonly text: string;
  /** It is the last one, and the whole text is on record. */
  readonly last?: true;
}

export interface PiecesPort {
  readonly context: TeamContext;
  readonly agent: string;
  readonly task: string | undefined;
  cause(): AgentEvent;
}

const prefix = "stream/";
const defaults = { everyMs: 200, everyChars: 1_024 } as const;
const eventLifeMs = 60_000; // who has not seen it by then asks for the text instead
const deletionsAtOnce = 500;

export class StreamPieces {
  readonly #port: PiecesPort;
  readonly #id: string;
  readonly #everyMs: number;
  readonly #everyChars: number;
  readonly #asEvents: boolean;
  #generation = 1;
  #number = 0;
  #offset = 0;
  #text = "";
  #cancel: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #hasFailed = false;

  constructor(port: PiecesPort, id: string, options: StreamOptions) {
    this.#port = port;
    this.#id = id;
    this.#everyMs = options.everyMs ?? defaults.everyMs;
    this.#everyChars = options.everyChars ?? defaults.everyChars;
    this.#asEvents = options.events ?? !port.context.sameLog;
  }

  get generation(): number {
    return this.#generation;
  }

  /** What an earlier run has left is removed; this is the next generation. */
  async begin(): Promise<void> {
    try {
      const left = await piecesOf(this.#port.context.store, this.#id);
      this.#generation = Math.max(0, ...left.map(({ generation }) => generation)) + 1;
      await removePieces(this.#port.context.store, this.#id);
    } catch (error) {
      this.#warn(error);
    }
  }

  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= this.#everyChars) return void this.flush();
    this.#cancel ??= this.#port.context.clock.after(this.#everyMs, () => void this.flush());
  }

  /** Writes what was kept back; what comes while a write is on its way goes with the next one. */
  flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async end(): Promise<void> {
    this.#cancel?.();
    this.#text = "";
    await this.#writing;
    await removePieces(this.#port.context.store, this.#id).catch((error: unknown) => {
      this.#warn(error);
    });
  }

  async #write(): Promise<void> {
    const text = this.#text;
    if (text === "") return;
    this.#text = "";
    const number = this.#number + 1;
    const piece = { generation: this.#generation, number, offset: this.#offset, text };
    const name = slotOf(this.#id, number);
    const { store } = this.#port.context;
    try {
      const value = JSON.stringify(piece);
      await store.commit({ slots: [{ name, expectedVersion: "any", value }] });
    } catch (error) {
      // It goes with the next one; the record will have it in any case.
      this.#text = text + this.#text;
      return this.#warn(error);
    }
    this.#number = number;
    this.#offset += text.length;
    if (this.#asEvents) this.#publish(piece);
  }

  #publish(piece: Omit<StreamPiece, "streamId">): void {
    const { context, agent, task } = this.#port;
    const payload = {
      streamId: this.#id,
      agent,
      ...piece,
      ...(task === undefined ? {} : { taskId: task }),
    };
    const expiresAt = context.clock.now() + eventLifeMs;
    const event = teamEvent(context, agent, "agent.stream", payload, {
      cause: this.#port.cause(),
      expiresAt,
    });
    context.bus.publishEvent(event).catch((error: unknown) => this.#warn(error));
  }

  #warn(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#port.context.logger.warn("A stream can't be read along.", { stream: this.#id, error });
  }
}

/** The pieces of a stream that runs, in their order. */
export async function piecesOf(
  store: Pick<EventStore, "slots">,
  streamId: string,
): Promise<readonly StreamPiece[]> {
  const slots = await store.slots(`${prefix}${streamId}/`);
  return slots
    .map(({ value }): StreamPiece => ({ ...(JSON.parse(value) as StreamPiece), streamId }))
    .toSorted((one, other) => one.number - other.number);
}

async function removePieces(
  store: Pick<EventStore, "slots" | "commit">,
  streamId: string,
): Promise<void> {
  const left = await store.slots(`${prefix}${streamId}/`);
  for (let from = 0; from < left.length; from += deletionsAtOnce) {
    const slots = left
      .slice(from, from + deletionsAtOnce)
      .map(({ name }) => ({ name, expectedVersion: "any" as const, value: undefined }));
    await store.commit({ slots });
  }
}

const slotOf = (id: string, number: number): string =>
  `${prefix}${id}/${String(number).padStart(8, "0")}`;
