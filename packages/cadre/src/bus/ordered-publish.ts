/**
 * Events in their order: what is refused stops those behind it.
 *
 *   a carrier that orders batches ─▶ one call; if it keeps order only by key, a call for each run
 *                                    of events of which none was caused by one of another key
 *   a carrier without any order   ─▶ a call for each run of which none has the key of an earlier
 *                                    one or was caused by it
 *   any other                     ─▶ one event a call
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { OrderedResult, PublishResult, Transport } from "./transport.ts";

/** What is used of a transport. */
export type OrderedCarrier = Pick<Transport, "publish"> &
  Partial<Pick<Transport, "publishInOrder" | "capabilities">>;

export interface OrderedPublishOptions {
  /** Asked before each call to the carrier but the first; false leaves what is left untried. */
  readonly goesOn?: () => boolean;
}

/**
 * As {@link Transport.publishInOrder}, on every transport. Rejects only when nothing was taken, and
 * nobody says which of several events it is about.
 */
export async function publishInOrder(
  transport: OrderedCarrier,
  events: readonly AgentEvent[],
  { goesOn }: OrderedPublishOptions = {},
): Promise<readonly OrderedResult[]> {
  const results: OrderedResult[] = events.map(() => undefined);
  for (let at = 0; at < events.length;) {
    const run = runOf(transport, events, at);
    try {
      const answers = await publishRun(transport, run);
      for (const index of run.keys()) results[at + index] = answers[index];
    } catch (error) {
      if (run.length === 1) results[at] = { ok: false, error };
      else if (at === 0) throw error;
      break;
    }
    const isWhole = run.every((_, index) => results[at + index]?.ok);
    at += run.length;
    if (!isWhole || goesOn?.() === false) break;
  }
  return results;
}

function publishRun(
  transport: OrderedCarrier,
  run: readonly AgentEvent[],
): Promise<readonly OrderedResult[]> {
  if (transport.publishInOrder && run.length > 1) return transport.publishInOrder(run);
  return publishEach(transport, run);
}

async function publishEach(
  transport: OrderedCarrier,
  run: readonly AgentEvent[],
): Promise<readonly PublishResult[]> {
  const answers = await transport.publish(run.map((event) => ({ event })));
  return run.map((event, index) => answers[index] ?? { ok: false, error: unanswered(event) });
}

/** The events from `at` on that one call may publish. */
function runOf(
  { publishInOrder: isOrdering, capabilities }: OrderedCarrier,
  events: readonly AgentEvent[],
  at: number,
): readonly AgentEvent[] {
  const order = capabilities?.order ?? "total";
  if (order === "total") return isOrdering ? events.slice(at) : events.slice(at, at + 1);
  if (order === "partition" && !isOrdering) return events.slice(at, at + 1);
  const keyOf = new Map<string, string | undefined>(); // by the event's id
  const keys = new Set<string>();
  let end = at;
  for (; end < events.length; end += 1) {
    const { id, metadata } = events[end]!;
    const { key, causationId = "" } = metadata;
    const isCaused = keyOf.has(causationId);
    if (order === "none" && (isCaused || (key !== undefined && keys.has(key)))) break;
    if (isCaused && (key === undefined || keyOf.get(causationId) !== key)) break;
    keyOf.set(id, key);
    if (key !== undefined) keys.add(key);
  }
  return events.slice(at, end);
}

export function unanswered({ id }: AgentEvent): CadreError<"INTERNAL"> {
  const message = `The transport gave no result for the event ${id}.`;
  return new CadreError("INTERNAL", message, { what: "transport.publish" });
}
