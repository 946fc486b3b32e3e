/**
 * The text of a stream that runs, for whoever reads along: slots, and not events of the log.
 *
 *   text ──▶ kept back for a moment ──▶ piece 1 │ piece 2 │ piece 3 …    gone when it is recorded
 *
 * Each piece has its number, and the offset of its first character in the text. A stream that is
 * begun again, after a crash, is another generation, and its offsets begin at 0. A reader that
 * comes late, or was away, asks for what is behind an offset; when the slots are gone it is given
 * the rest of the record.
 *
 * One more slot, the stream's head, says which generation it is, and is written with every piece:
 * who has frozen while another took the work over is fenced off by its version. It stays when a
 * try has failed, so that the next one's generation is higher.
 */
import type { SlotWrite } from "../../core/commit.ts";
import { isCadreError } from "../../core/errors.ts";
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

/** `over`: it was refused or cancelled, and is not begun again. */
export type StreamEnd = "recorded" | "failed" | "over";

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
  /** Of the head as this run has written it; 0 when the stream is not this run's. */
  #version = 0;

  constructor(port: PiecesPort, id: string, options: StreamOptions) {
    this.#port = port;
    this.#id = id;
    this.#everyMs = options.everyMs ?? defaults.everyMs;
    this.#everyChars = options.everyChars ?? defaults.everyChars;
    this.#asEvents = options.events ?? !port.context.sameLog;
  }

  /** 0 of a run that nobody can read along. */
  get generation(): number {
    return this.#generation;
  }

  /** What an earlier run has left is removed; this is the next generation. */
  async begin(): Promise<void> {
    const { store } = this.#port.context;
    try {
      const head = await store.slot(headOf(this.#id));
      const left = await piecesOf(store, this.#id);
      const generations = left.map(({ generation }) => generation);
      this.#generation = Math.max(head ? Number(head.value) : 0, ...generations) + 1;
      const version = head?.version ?? 0;
      await store.commit({ slots: [this.#head(version)] });
      this.#version = version + 1;
      await removePieces(store, this.#id, this.#generation);
    } catch (error) {
      // Its number may be another run's.
      if (this.#version === 0) this.#generation = 0;
      this.#warn(error);
    }
  }

  add(text: string): void {
    if (this.#version === 0) return;
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

  async end(how: StreamEnd): Promise<void> {
    this.#cancel?.();
    this.#text = "";
    await this.#writing;
    const version = this.#version;
    this.#version = 0;
    if (version === 0) return;
    const { store } = this.#port.context;
    try {
      const head = this.#head(version);
      if (how === "failed") await removePieces(store, this.#id, this.#generation + 1);
      else await removePieces(store, this.#id, Infinity, { ...head, value: undefined });
    } catch (error) {
      this.#warn(error);
    }
  }

  async #write(): Promise<void> {
    const text = this.#text;
    if (text === "" || this.#version === 0) return;
    this.#text = "";
    const number = this.#number + 1;
    const piece = { generation: this.#generation, number, offset: this.#offset, text };
    const name = slotOf(this.#id, this.#generation, number);
    const { store } = this.#port.context;
    try {
      const value = JSON.stringify(piece);
      const written: SlotWrite = { name, expectedVersion: "any", value };
      await store.commit({ slots: [this.#head(this.#version), written] });
    } catch (error) {
      // Another run has the stream now; or it goes with the next one, and the record has it all.
      if (isCadreError(error, "VERSION_CONFLICT")) this.#version = 0;
      else this.#text = text + this.#text;
      return this.#warn(error);
    }
    this.#version += 1;
    this.#number = number;
    this.#offset += text.length;
    if (this.#asEvents) this.#publish(piece);
  }

  #head(expectedVersion: number): SlotWrite {
    return { name: headOf(this.#id), expectedVersion, value: String(this.#generation) };
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
  const slots = await store.slots(piecesPrefix(streamId));
  return slots
    .map(({ value }): StreamPiece => ({ ...(JSON.parse(value) as StreamPiece), streamId }))
    .toSorted((one, other) => one.generation - other.generation || one.number - other.number);
}

/** Another one, when there are other pieces; nothing, when the stream has not begun, or is over. */
export async function headVersion(
  store: Pick<EventStore, "slot">,
  streamId: string,
): Promise<number | undefined> {
  const head = await store.slot(headOf(streamId));
  return head?.version;
}

/** All that is left of a stream that is on record. */
export async function removeStream(store: PieceStore, streamId: string): Promise<void> {
  const name = headOf(streamId);
  if (!(await store.slot(name))) return;
  await removePieces(store, streamId, Infinity, { name, expectedVersion: "any", value: undefined });
}

type PieceStore = Pick<EventStore, "slot" | "slots" | "commit">;

/** Removes the pieces of generations before one; the head, where it is given, with the first. */
async function removePieces(
  store: PieceStore,
  streamId: string,
  before: number,
  head?: SlotWrite,
): Promise<void> {
  const all = await store.slots(piecesPrefix(streamId));
  const old = all.filter(({ value }) => (JSON.parse(value) as StreamPiece).generation < before);
  const writes: SlotWrite[] = head ? [head] : [];
  for (const { name } of old) writes.push({ name, expectedVersion: "any", value: undefined });
  for (let from = 0; from < writes.length; from += deletionsAtOnce) {
    await store.commit({ slots: writes.slice(from, from + deletionsAtOnce) });
  }
}

const headOf = (id: string): string => `${prefix}${id}`;
const piecesPrefix = (id: string): string => `${prefix}${id}/`;
const slotOf = (id: string, generation: number, number: number): string =>
  piecesPrefix(id) + [generation, number].map((part) => String(part).padStart(8, "0")).join("/");
