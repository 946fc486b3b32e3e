/** History, in pages over all streams that are asked for, up to what is there when each is read. */
import { recordMatcher } from "../../bus/record-matcher.ts";
import type { ReadQuery, Recorded } from "../../bus/transport.ts";
import { readPage } from "./log-page.ts";
import type { Session } from "./session.ts";
import { planWanted } from "./topics.ts";
import { fromPosition, toRecorded } from "./wire.ts";

const pageSize = 256;

export async function* readHistory(
  session: Session,
  query: ReadQuery,
): AsyncGenerator<Recorded, void, undefined> {
  let left = query.limit ?? Infinity;
  if (left <= 0) return;
  const { type, backward = false } = query;
  const wanted = planWanted(type === undefined ? [] : [type], session.settings);
  const after = query.after === undefined ? "" : fromPosition(query.after);
  const before = query.before === undefined ? "" : fromPosition(query.before);
  const matches = recordMatcher(query);
  const to = backward ? after : before;
  let from = backward ? before : after;
  for (let more = true; more;) {
    const page = await readPage(session, { wanted, backward, from, to, count: pageSize });
    for (const { id, bytes } of page.entries) {
      const recorded = toRecorded(id, bytes, session.settings.wire);
      if (!matches(recorded)) continue;
      yield recorded;
      left -= 1;
      if (left === 0) return;
    }
    from = page.reached;
    ({ more } = page);
  }
}
