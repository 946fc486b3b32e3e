/**
 * A failed run in words: who did what to which task when, and what went wrong meanwhile.
 *
 * Told from the log, from what is known of who wrote each of its events, and from the faults.
 */
import type { AgentEvent } from "../core/event.ts";
import type { StoredEvent } from "../store/event-store.ts";
import type { Fault } from "./sim-faults.ts";
import type { Violation } from "./sim-options.ts";

/** One life of a process. */
export interface Author {
  readonly process: string;
  /** How often the process had been started, from 1. */
  readonly life: number;
}

/** Something of a process that is neither in the log nor a fault. */
export interface Moment extends Author {
  /** Virtual milliseconds since the start of the run. */
  readonly at: number;
  readonly what: "started" | "closing" | "left" | "died" | "handed" | "settled";
  /** Of a delivery. */
  readonly delivery?: {
    readonly group: string;
    readonly eventId: string;
    readonly type: string;
    readonly how: string;
  };
}

/** What the story is made of. */
export interface StorySource {
  readonly log: readonly StoredEvent[];
  readonly authors: ReadonlyMap<string, Author>;
  readonly faults: readonly Fault[];
  readonly moments: readonly Moment[];
  readonly violations: readonly Violation[];
  /** Wall time of the start of the run, in Unix milliseconds. */
  readonly startedAt: number;
}

interface Line {
  readonly at: number;
  readonly text: string;
}

const maxStreams = 3; // more are told by their violations alone
const maxLines = 80; // a story that nobody reads to its end tells nothing
const aroundMs = 2_000; // of a fault, where no stream is at fault

/** Lines such as `at 3.214 s reader in b claimed task pay-1 (epoch 2)`. */
export function storyOf(source: StorySource): readonly string[] {
  const streams = [
    ...new Set(source.violations.flatMap(({ stream }) => (stream === undefined ? [] : [stream]))),
  ].slice(0, maxStreams);
  const told = source.log.filter((stored) => isPartOf(source, streams, stored));
  const lines: Line[] = told.map((stored) => sentenceOf(source, stored));
  const from = Math.min(...lines.map(({ at }) => at));
  const to = Math.max(...lines.map(({ at }) => at));
  const involved = new Set(told.map(({ event }) => source.authors.get(event.id)?.process));
  const isNear = (at: number, process: string): boolean =>
    streams.length === 0 || (at <= to && (involved.has(process) || at >= from));
  for (const fault of source.faults) {
    if (!isNear(fault.at, fault.process)) continue;
    lines.push({ at: fault.at, text: `${fault.process} ${wordsOf(fault)}` });
  }
  const ids = new Set(told.map(({ event }) => event.id));
  for (const moment of source.moments) {
    const { at, process } = moment;
    if (!isNear(at, process) || isSaid(source, moment, ids)) continue;
    lines.push({ at, text: `${process} ${momentOf(moment)}` });
  }
  return cut(
    lines
      .toSorted((left, right) => left.at - right.at)
      .map(({ at, text }) => `at ${(at / 1_000).toFixed(3)} s ${text}`),
  );
}

function cut(lines: readonly string[]): readonly string[] {
  if (lines.length <= maxLines) return lines;
  const half = maxLines / 2;
  const left = `… ${lines.length - maxLines} lines left out …`;
  return [...lines.slice(0, half), left, ...lines.slice(-half)];
}

/** Whether the moment says nothing that is not said anyway, or nothing about what is told. */
function isSaid(source: StorySource, moment: Moment, ids: ReadonlySet<string>): boolean {
  const { at, process, life, what, delivery } = moment;
  if (delivery) return !ids.has(delivery.eventId);
  if (what === "started") return life === 1;
  if (what !== "died") return false;
  return source.faults.some(
    (fault) => fault.process === process && fault.at === at && fault.kind.startsWith("crash"),
  );
}

function isPartOf(source: StorySource, streams: readonly string[], stored: StoredEvent): boolean {
  const { stream, recordedAt } = stored;
  if (streams.length > 0) return stream !== undefined && streams.includes(stream);
  const at = recordedAt - source.startedAt;
  return source.faults.some((fault) => Math.abs(fault.at - at) <= aroundMs);
}

function sentenceOf(source: StorySource, { event, stream, recordedAt }: StoredEvent): Line {
  const at = recordedAt - source.startedAt;
  const author = source.authors.get(event.id);
  const place =
    author === undefined || author.process === event.source ? "" : ` in ${nameOf(author)}`;
  return { at, text: `${event.source}${place} ${deedOf(event)}${objectOf(event, stream)}` };
}

function nameOf({ process, life }: Author): string {
  return life === 1 ? process : `${process} (life ${life})`;
}

const deeds: Readonly<Record<string, string>> = {
  "task.created": "created",
  "task.offered": "offered",
  "task.claimed": "claimed",
  "task.acknowledged": "acknowledged",
  "task.started": "began",
  "task.progress": "said how far it is with",
  "task.completed": "completed",
  "task.failed": "failed",
  "task.cancelled": "cancelled",
  "task.cancel_requested": "asked to cancel",
  "task.retry": "gave up an attempt of",
  "task.lease_expired": "took the lease away from",
  "task.result_rejected": "came too late with the result of",
  "step.intent": "was about to do",
  "step.receipt": "did",
  "step.failed": "failed in",
  "step.in_doubt": "could not tell whether it had done",
  "step.timer": "set the timer",
  "step.signal": "was told of",
  "step.undo_intent": "was about to undo",
  "step.undo_receipt": "undid",
  "step.undo_failed": "could not undo",
  "step.resolved": "decided about",
  "saga.started": "began the saga",
  "saga.completed": "completed the saga",
  "saga.failed": "failed the saga",
  "saga.undo_started": "turned back",
  "saga.undone": "had undone all of",
  "saga.undo_stuck": "was stuck undoing",
};

function deedOf({ type }: AgentEvent): string {
  if (type.startsWith("task.assigned.")) return "assigned";
  return deeds[type] ?? `wrote ${type}`;
}

/** ` step pay of task pay-1 (epoch 2)` */
function objectOf(event: AgentEvent, stream: string | undefined): string {
  const fields = event.payload as Readonly<Record<string, unknown>> | null;
  const { step, taskId, agent, epoch } = fields ?? {};
  const parts: string[] = [];
  if (typeof step === "string") parts.push(`step ${step} of`);
  if (typeof taskId === "string") parts.push(`task ${taskId}`);
  else if (typeof step === "string") parts.push(`${stream}`);
  else parts.push(stream === undefined ? shortId(event.id) : `to ${stream}`);
  if (event.type === "task.lease_expired") parts.push(`of ${String(agent)}`);
  if (event.type.startsWith("task.assigned.")) parts.push(`to ${String(agent)}`);
  if (typeof epoch === "number") parts.push(`(epoch ${epoch})`);
  return ` ${parts.join(" ")}`;
}

const shownDigits = 6; // of an id: enough to tell the events of one story apart
const shortId = (id: string): string => `…${id.slice(-shownDigits)}`;

function wordsOf({ kind, call, ms }: Fault): string {
  const lasting = ms === undefined ? "" : ` for ${(ms / 1_000).toFixed(1)} s`;
  switch (kind) {
    case "crashBefore":
      return `crashed before ${call}`;
    case "crashAfter":
      return `crashed after the effect of ${call}`;
    case "powerCut":
      return `and all others lost their power before ${call}`;
    case "leave":
      return `was told to close at ${call}`;
    case "loseAnswer":
      return `lost the answer of ${call}, which took effect`;
    case "fail":
      return `was refused ${call}`;
    case "pauseBefore":
      return `froze${lasting} before ${call}`;
    case "pauseAfter":
      return `froze${lasting} after the effect of ${call}`;
    case "partition":
      return `was cut off from store and bus${lasting}`;
    case "partitionStore":
      return `was cut off from the store${lasting}`;
    case "partitionBus":
      return `was cut off from the bus${lasting}`;
    case "full":
      return `filled the disk${lasting}`;
    case "slow":
      return `waited${lasting} in ${call}`;
    case "duplicate":
      return "published twice";
    case "late":
      return `got its deliveries late${lasting}`;
    case "reorder":
      return "got its deliveries in another order";
    case "clockJump":
      return `had its wall clock set by ${((ms ?? 0) / 1_000).toFixed(1)} s`;
  }
}

function momentOf({ what, life, delivery }: Moment): string {
  switch (what) {
    case "started":
      return `was started (life ${life})`;
    case "closing":
      return "began to close";
    case "left":
      return "had closed in order";
    case "died":
      return "was dead";
    case "handed":
    case "settled": {
      const { group = "", type = "", eventId = "", how = "" } = delivery ?? {};
      const event = `${type} ${shortId(eventId)} for ${group}`;
      return what === "handed" ? `was handed ${event} (${how})` : `settled ${event}: ${how}`;
    }
  }
}
