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

const callsAtOnce = 8;
const firstPauseMs = 50;
const mostPauseMs = 1_000;

interface Job {
  readonly entry: PutEntry;
  readonly answer: (result: PublishResult) => void;
}

/** One for each session: what is published in one turn shares calls, whoever published it. */
export class Publishing {
  readonly #session: Session;
  #jobs: Job[] = [];
  #isCollecting = false;
  #calls = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return Promise.all(batch.map((item) => this.#publishOne(item)));
  }

  async #publishOne({ event, to }: Outgoing): Promise<PublishResult> {
    try {
      if (to) return await direct(this.#session, event, to);
      const entry = toEntry(this.#session, event);
      return await new Promise((answer) => this.#take({ entry, answer }));
    } catch (error) {
      return { ok: false, error };
    }
  }

  #take(job: Job): void {
    this.#jobs.push(job);
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    queueMicrotask(() => {
      this.#isCollecting = false;
      this.#sendOn();
    });
  }

  #sendOn(): void {
    while (this.#jobs.length > 0 && this.#calls < callsAtOnce) {
      this.#calls += 1;
      void this.#put(this.#nextCall()).finally(() => {
        this.#calls -= 1;
        this.#sendOn();
      });
    }
  }

  #nextCall(): readonly Job[] {
    let [count, bytes] = [0, 0];
    for (const { entry } of this.#jobs) {
      bytes += bytesOf(entry);
      if (count === maxEntries || (count > 0 && bytes > maxCallBytes)) break;
      count += 1;
    }
    return this.#jobs.splice(0, count);
  }

  /** Never rejects: every job is answered. */
  async #put(call: readonly Job[]): Promise<void> {
    const { clock, requestTimeoutMs } = this.#session.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    let left = call;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
      const isLast = this.#session.ended || clock.monotonic() + pauseMs > end;
      left = await this.#ask(left, isLast);
      if (left.length === 0) return;
      await clock.sleep(pauseMs);
    }
  }

  /** Those that are worth another try. */
  async #ask(jobs: readonly Job[], isLast: boolean): Promise<readonly Job[]> {
    const { clients, url } = this.#session;
    const again: Job[] = [];
    try {
      const Entries = jobs.map(({ entry }) => entry);
      const answer = await this.#session.call("publish", (options) =>
        clients.events.putEvents({ Entries }, options),
      );
      for (const [at, job] of jobs.entries()) {
        const { ErrorCode, ErrorMessage = "" } = answer.Entries?.[at] ?? { ErrorCode: "NoAnswer" };
        if (ErrorCode === undefined) job.answer({ ok: true });
        else if (isPassingCode(ErrorCode) && !isLast) again.push(job);
        else {
          const error = forCaller(new Refused(ErrorCode, ErrorMessage), url, "publish");
          job.answer({ ok: false, error });
        }
      }
    } catch (cause) {
      // The client has asked again itself, as often as it is set to.
      const error = forCaller(cause, url, "publish");
      for (const job of jobs) job.answer({ ok: false, error });
    }
    return again;
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
): Promise<PublishResult> {
  const name = session.names.group(to.group);
  const attributes = numberAttributes({
    [attributeOf.attempt]: to.attempt ?? 1,
    [attributeOf.directedAt]: session.settings.clock.now(),
  });
  const body = toBody(session, event);
  try {
    await sendOne(session, name, { body, attributes });
    return { ok: true };
  } catch (error) {
    return { ok: false, error: forDirected(session, error, to.group) };
  }
}

function forDirected(session: Session, error: unknown, group: string): CadreError {
  if (!isMissing(error)) return forCaller(error, session.url, "publish to a group");
  const message =
    `There is no group "${group}" at ${session.url}. ` +
    "Subscribe with it first, or fix its name.";
  return new CadreError("NOT_FOUND", message, { what: "group", id: group });
}
