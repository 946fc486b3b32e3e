/**
 * History, in pages.
 *
 * The log has no end that could be asked for, so a marker is put there first. A stream is read
 * forward only; backward goes window by window, each read forward and handed out from its end.
 */
import { recordMatcher } from "../../bus/record-matcher.ts";
import type { ReadQuery, Recorded } from "../../bus/transport.ts";
import type { RabbitMessageLike } from "./client.ts";
import { isMarker, LogCursor, offsetOfPosition, offsetStart, sendMarker } from "./log-cursor.ts";
import type { Session } from "./session.ts";
import { headerOf, offsetOf, textHeader, toRecorded } from "./wire.ts";

const firstWindow = 256;
const mostWindow = 4_096; // messages held at once when reading backward

interface Range {
  readonly first: number;
  /** Inclusive; Infinity is up to the marker. */
  readonly last: number;
}

export async function* readHistory(
  session: Session,
  query: ReadQuery,
): AsyncGenerator<Recorded, void, undefined> {
  let left = query.limit ?? Infinity;
  if (left <= 0) return;
  const { after, before } = query;
  const first = after === undefined ? 0 : (await offsetOfPosition(session, after)) + 1;
  const last = before === undefined ? Infinity : (await offsetOfPosition(session, before)) - 1;
  const matches = recordMatcher(query);
  const pages = query.backward
    ? readBackward(session, { first, last })
    : readForward(session, { first, last });
  for await (const page of pages) {
    for (const message of page) {
      const recorded = toRecorded(message, session.settings, offsetOf(message));
      if (!matches(recorded)) continue;
      yield recorded;
      left -= 1;
      if (left === 0) return;
    }
  }
}

async function* readForward(
  session: Session,
  { first, last }: Range,
): AsyncGenerator<readonly RabbitMessageLike[], void, undefined> {
  if (first > last) return;
  const marker = await sendMarker(session);
  const cursor = await LogCursor.open(session, offsetStart(first));
  try {
    for (;;) {
      const page = await cursor.next();
      const end = page.findIndex(
        (message) => offsetOf(message) > last || textHeader(message, headerOf.marker) === marker,
      );
      yield (end === -1 ? page : page.slice(0, end)).filter((message) => !isMarker(message));
      if (end !== -1 || page.length === 0) return;
    }
  } finally {
    await cursor.close();
  }
}

async function* readBackward(
  session: Session,
  range: Range,
): AsyncGenerator<readonly RabbitMessageLike[], void, undefined> {
  let size = firstWindow;
  const end = Math.min(range.last, await endOf(session));
  for (let last = end; last >= range.first;) {
    const first = Math.max(range.first, last - size + 1);
    const window: RabbitMessageLike[] = [];
    for await (const page of readForward(session, { first, last })) window.push(...page);
    yield window.toReversed();
    if (window.length === 0 && (await isBeforeAll(session, last))) return;
    size = window.length < size / 4 ? Math.min(size * 2, mostWindow) : size;
    last = first - 1;
  }
}

/** The offset of the last message there is. */
async function endOf(session: Session): Promise<number> {
  const marker = await sendMarker(session);
  const cursor = await LogCursor.open(session, { offset: "last" });
  try {
    for (;;) {
      const page = await cursor.next();
      const found = page.find((message) => textHeader(message, headerOf.marker) === marker);
      if (found) return offsetOf(found);
      if (page.length === 0) return -1;
    }
  } finally {
    await cursor.close();
  }
}

/** Whether the log begins behind `offset`: what stood there was dropped for its age or size. */
async function isBeforeAll(session: Session, offset: number): Promise<boolean> {
  const cursor = await LogCursor.open(session, { offset: "first" });
  try {
    const [first] = await cursor.next(1);
    return first === undefined || offsetOf(first) > offset;
  } finally {
    await cursor.close();
  }
}
