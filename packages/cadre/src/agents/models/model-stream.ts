/**
 * A streamed answer that is a step: handed on while it comes, recorded as a whole, and given from
 * the record in later attempts.
 *
 *   part ──▶ the record (pieces of one text joined)
 *     └────▶ the handler, at once; from the first tool call on only when the receipt is there
 *     └────▶ text for whoever reads along
 *
 * A tool must not run before the call that asked for it is on record: after a crash the model would
 * be asked again, and ask for another one.
 */
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { TeamContext } from "../team-context.ts";
import type { StreamedAnswer, StreamPart } from "./language-model.ts";
import { BrokenStream, type Perform } from "./metered-call.ts";
import { fromRecord, toRecord } from "./model-json.ts";
import type { StreamOptions } from "./model-options.ts";
import { withoutBody, type CallRecord, type Performed } from "./model-record.ts";
import { StreamPieces } from "./stream-pieces.ts";

export interface StreamPort {
  readonly context: TeamContext;
  readonly agent: string;
  readonly task: string | undefined;
  readonly stream: StreamOptions | false;
  cause(): AgentEvent;
}

/** Parts that say how the stream begins: until another one comes, it may be begun again. */
const preface: ReadonlySet<string> = new Set(["stream-start", "response-metadata"]);
/** Parts behind which nothing is handed on before the receipt is there. */
const binding: ReadonlySet<string> = new Set(["tool-call", "tool-approval-request", "finish"]);
const deltas: ReadonlySet<string> = new Set(["text-delta", "reasoning-delta", "tool-input-delta"]);

type Response = Readonly<Record<string, unknown>> | undefined;

/** Begins the step, and resolves when its stream is open. */
export function openStream(
  port: StreamPort,
  step: (perform: Perform) => Promise<CallRecord>,
): Promise<StreamedAnswer> {
  return new Promise((resolve, reject) => {
    const live = new LiveStream();
    let pieces: StreamPieces | undefined;
    let isOpen = false;
    const open = (response: Response): void => {
      if (isOpen) return;
      isOpen = true;
      resolve({ stream: live.stream, ...(response === undefined ? {} : { response }) });
    };
    const perform: Perform = async (model, call, stepKey) => {
      const { stream, response } = await model.doStream(call);
      pieces = port.stream === false ? undefined : new StreamPieces(port, stepKey, port.stream);
      await pieces?.begin();
      const kept = withoutBody(response);
      open(kept.response);
      const performed = await pump(stream, live, pieces);
      const answer = toRecord({ parts: performed.parts, ...kept }) ?? null;
      const generation = pieces ? { generation: pieces.generation } : {};
      return { ...performed, answer, ...generation } satisfies Performed;
    };
    step(perform).then(
      (record) => {
        const { parts, response } = answerOf(record);
        open(response);
        live.end(parts);
        void pieces?.end("recorded");
      },
      (error: unknown) => {
        void pieces?.end(isOver(error) ? "over" : "failed");
        if (isOpen) live.fail(error);
        else reject(error);
      },
    );
  });
}

/** Whether no other attempt will ask for it. */
function isOver(error: unknown): boolean {
  return isCadreError(error, "TERMINAL") || isCadreError(error, "CANCELLED");
}

/** The parts of a record; a person's text, or an answer that came at once, is a stream too. */
export function answerOf({ answer }: CallRecord): {
  readonly parts: readonly StreamPart[];
  readonly response?: Response;
} {
  const { parts, content, response, ...rest } = fromRecord(answer) as {
    readonly parts?: readonly StreamPart[];
    readonly content?: readonly StreamPart[];
    readonly response?: Response;
    readonly [member: string]: unknown;
  };
  if (parts) return { parts, response };
  const texts = (content ?? []).flatMap((part, index): StreamPart[] => {
    const { type } = part;
    if (type !== "text") return [part];
    const id = String(index);
    const delta = { type: "text-delta", id, delta: part["text"] };
    return [{ type: "text-start", id }, delta, { type: "text-end", id }];
  });
  const { usage, finishReason } = rest;
  const finish = { type: "finish", usage, finishReason };
  return { parts: [{ type: "stream-start", warnings: [] }, ...texts, finish], response };
}

/** The text of a record, as its readers got it. */
export function textOf(record: CallRecord): string {
  return answerOf(record)
    .parts.flatMap(({ type, delta }) => (type === "text-delta" ? [String(delta)] : []))
    .join("");
}

interface Pumped {
  readonly parts: readonly StreamPart[];
  readonly usage: unknown;
  readonly finishReason: unknown;
}

async function pump(
  stream: ReadableStream<StreamPart>,
  live: LiveStream,
  pieces: StreamPieces | undefined,
): Promise<Pumped> {
  const parts: StreamPart[] = [];
  let last: StreamPart | undefined;
  const early: StreamPart[] = [];
  try {
    for await (const part of stream) {
      if (part.type === "error") throw part["error"];
      if (part.type === "raw" || part.type === "ping") continue;
      join(parts, part);
      last = part;
      if (part.type === "text-delta") pieces?.add(String(part["delta"]));
      if (!live.hasBegun && preface.has(part.type)) early.push(part);
      else for (const next of [...early.splice(0), part]) live.add(next);
    }
  } catch (error) {
    throw live.hasBegun ? broken(error) : error;
  }
  await pieces?.flush();
  const finish = parts.findLast(({ type }) => type === "finish");
  if (!finish) {
    throw broken(new Error(`The stream ended behind "${last?.type ?? "nothing"}", unfinished.`));
  }
  return { parts, usage: finish["usage"], finishReason: finish["finishReason"] };
}

function broken(cause: unknown): BrokenStream {
  return new BrokenStream("The stream broke off.", { cause });
}

/** Pieces of one text are one part of the record. */
function join(parts: StreamPart[], part: StreamPart): void {
  const last = parts.at(-1);
  const isMore =
    deltas.has(part.type) &&
    last?.type === part.type &&
    last["id"] === part["id"] &&
    last["providerMetadata"] === undefined &&
    part["providerMetadata"] === undefined;
  if (!isMore) parts.push(part);
  else parts[parts.length - 1] = { ...last, delta: String(last["delta"]) + String(part["delta"]) };
}

/** What the handler reads. */
class LiveStream {
  readonly stream: ReadableStream<StreamPart>;
  /** Whether anything was handed on. */
  hasBegun = false;
  #controller: ReadableStreamDefaultController<StreamPart> | undefined;
  #held: StreamPart[] | undefined;
  #isRead = true;

  constructor() {
    this.stream = new ReadableStream<StreamPart>({
      start: (controller) => {
        this.#controller = controller;
      },
      // Who stops reading leaves a call that is paid for: it is recorded all the same.
      cancel: () => {
        this.#isRead = false;
      },
    });
  }

  add(part: StreamPart): void {
    this.hasBegun = true;
    if (binding.has(part.type)) this.#held ??= [];
    if (this.#held) this.#held.push(part);
    else this.#put(part);
  }

  /** The receipt is there: what was held back, or the whole record, if nothing came before. */
  end(recorded: readonly StreamPart[]): void {
    for (const part of this.hasBegun ? (this.#held ?? []) : recorded) this.#put(part);
    if (this.#isRead) this.#controller?.close();
  }

  fail(error: unknown): void {
    if (this.#isRead) this.#controller?.error(error);
  }

  #put(part: StreamPart): void {
    if (this.#isRead) this.#controller?.enqueue(part);
  }
}
