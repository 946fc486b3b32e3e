/**
 * History, in pages.
 *
 * Forward it is one reader, up to what was there when it began. JetStream reads forward only, so
 * backward it is window by window: each is read forward and handed out from its end.
 */
import { recordMatcher } from "../../bus/record-matcher.ts";
import type { ReadQuery, Recorded } from "../../bus/transport.ts";
import { startAt } from "./groups.ts";
import { LogCursor, type CursorMessage } from "./log-cursor.ts";
import type { Session } from "./session.ts";
import { streamInfo } from "./streams.ts";
import { planSubject } from "./subjects.ts";
import { fromPosition, toRecorded } from "./wire.ts";

const pageSize = 256;
const firstWindow = 256;
const mostWindow = 4_096; // messages held at once when reading backward

interface Range {
  /** Inclusive, both. */
  readonly first: number;
  readonly last: number;
}

export async function* readHistory(
  session: Session,
  query: ReadQuery,
): AsyncGenerator<Recorded, void, undefined> {
  let left = query.limit ?? Infinity;
  if (left <= 0) return;
  const { state } = await streamInfo(session, session.settings.stream);
  const after = query.after === undefined ? 0 : fromPosition(query.after);
  const before = query.before === undefined ? Infinity : fromPosition(query.before);
  const range = {
    first: Math.max(state.first_seq, after + 1),
    last: Math.min(state.last_seq, before - 1),
  };
  const subject = planSubject(
    session.settings.prefix,
    query.type === undefined ? [] : [query.type],
  );
  const matches = recordMatcher(query);
  const pages = query.backward
    ? readBackward(session, subject, range)
    : readForward(session, subject, range);
  for await (const page of pages) {
    for (const { message, info } of page) {
      const recorded = toRecorded(message, info, session.settings.wire);
      if (!matches(recorded)) continue;
      yield recorded;
      left -= 1;
      if (left === 0) return;
    }
  }
}

async function* readForward(
  session: Session,
  subject: string,
  { first, last }: Range,
): AsyncGenerator<readonly CursorMessage[], void, undefined> {
  if (first > last) return;
  const { stream } = session.settings;
  const cursor = await LogCursor.open({ session, stream, subject }, startAt(first));
  try {
    for (let waiting = cursor.waiting; waiting > 0;) {
      const page = await cursor.nextOfKept(Math.min(pageSize, waiting));
      if (page.length === 0) return;
      yield page.filter(({ info }) => info.streamSequence <= last);
      const { info } = page.at(-1)!;
      if (info.streamSequence >= last) return;
      waiting = info.pending;
    }
  } finally {
    await cursor.close();
  }
}

async function* readBackward(
  session: Session,
  subject: string,
  { first, last }: Range,
): AsyncGenerator<readonly CursorMessage[], void, undefined> {
  let size = firstWindow;
  for (let end = last; end >= first;) {
    const start = Math.max(first, end - size + 1);
    const window: CursorMessage[] = [];
    for await (const page of readForward(session, subject, { first: start, last: end })) {
      window.push(...page);
    }
    yield window.toReversed();
    // Where few match, larger steps.
    size = window.length < size / 4 ? Math.min(size * 2, mostWindow) : size;
    end = start - 1;
  }
}
