/**
 * Publishing: ten entries, or as many bytes as one call may have, at a time.
 *
 * AWS answers for each entry. What it could not take at the moment is sent again, with growing
 * pauses, until a request's time is over.
 */
import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { PutEntry } from "./client.ts";
import { forCaller, isMissing, isPassingCode } from "./eventbridge-error.ts";
import { sendOne } from "./sending.ts";
import type { Session } from "./session.ts";
import {
  attributeOf,
  bytesOf,
  maxCallBytes,
  maxEntries,
  numberAttributes,
  toBody,
  toEntry,
} from "./wire.ts";

interface Job {
  readonly index: number;
  readonly entry: PutEntry;
}

const callsAtOnce = 8;
const firstPauseMs = 50;
const mostPauseMs = 1_000;

export async function publishAll(
  session: Session,
  batch: readonly Outgoing[],
): Promise<readonly PublishResult[]> {
  const results: PublishResult[] = [];
  const jobs: Job[] = [];
  const directed: Promise<void>[] = [];
  for (const [index, { event, to }] of batch.entries()) {
    try {
      if (to) directed.push(direct(session, event, to, (result) => (results[index] = result)));
      else jobs.push({ index, entry: toEntry(session, event) });
    } catch (error) {
      results[index] = { ok: false, error };
    }
  }
  const calls = [...inCalls(jobs)].values();
  const senders = Array.from({ length: callsAtOnce }, async () => {
    for (const call of calls) await put(session, call, results); // all take from one iterator
  });
  await Promise.all([...senders, ...directed]);
  return results;
}

function* inCalls(jobs: readonly Job[]): Generator<readonly Job[], void, undefined> {
  let call: Job[] = [];
  let bytes = 0;
  for (const job of jobs) {
    const more = bytesOf(job.entry);
    if (call.length === maxEntries || (call.length > 0 && bytes + more > maxCallBytes)) {
      yield call;
      [call, bytes] = [[], 0];
    }
    call.push(job);
    bytes += more;
  }
  if (call.length > 0) yield call;
}

async function put(
  session: Session,
  call: readonly Job[],
  results: PublishResult[],
): Promise<void> {
  const { clock, requestTimeoutMs } = session.settings;
  const end = clock.monotonic() + requestTimeoutMs;
  let left = call;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
    const again: Job[] = [];
    try {
      const Entries = left.map(({ entry }) => entry);
      const answer = await session.call("publish", (options) =>
        session.clients.events.putEvents({ Entries }, options),
      );
      for (const [at, job] of left.entries()) {
        const { ErrorCode, ErrorMessage = "" } = answer.Entries?.[at] ?? { ErrorCode: "NoAnswer" };
        if (ErrorCode === undefined) results[job.index] = { ok: true };
        else {
          if (isPassingCode(ErrorCode)) again.push(job);
          const error = forCaller(new Refused(ErrorCode, ErrorMessage), session.url, "publish");
          results[job.index] = { ok: false, error };
        }
      }
    } catch (error) {
      // The client has asked again itself, as often as it is set to.
      const failure = forCaller(error, session.url, "publish");
      for (const { index } of left) results[index] = { ok: false, error: failure };
      return;
    }
    if (again.length === 0 || session.ended || clock.monotonic() + pauseMs > end) return;
    await clock.sleep(pauseMs);
    left = again;
  }
}

/** What AWS said instead of taking an entry. */
class Refused extends Error {
  override readonly name: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = code;
  }
}

/** A copy for one group, straight into its queue. */
async function direct(
  session: Session,
  event: AgentEvent,
  to: NonNullable<Outgoing["to"]>,
  answer: (result: PublishResult) => void,
): Promise<void> {
  const name = session.names.group(to.group);
  try {
    const attributes = numberAttributes({
      [attributeOf.attempt]: to.attempt ?? 1,
      [attributeOf.directedAt]: session.settings.clock.now(),
    });
    await sendOne(session, name, { body: toBody(session, event), attributes });
    answer({ ok: true });
  } catch (error) {
    answer({ ok: false, error: forDirected(session, error, to.group) });
  }
}

function forDirected(session: Session, error: unknown, group: string): CadreError {
  if (!isMissing(error)) return forCaller(error, session.url, "publish to a group");
  const message = `There is no group "${group}" at ${session.url}. Subscribe with it first, or fix its name.`;
  return new CadreError("NOT_FOUND", message, { what: "group", id: group });
}
