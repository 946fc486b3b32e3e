/** What `publish` writes: events at the log's end, and deliveries for one group alone. */
import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import { priorityRank } from "../../core/event.ts";
import type { StoredEvent } from "../../store/event-store.ts";
import { channelOf } from "./log-turn.ts";
import { findKnown } from "./commit.ts";
import { directedFlag, type EncodedEvent } from "./event-rows.ts";
import type { Log } from "./postgres-log.ts";
import { toPosition } from "./recorded.ts";
import { toStoredText } from "./stored-text.ts";
import { looseRequest } from "./write-request.ts";

/** One item of a batch: encoded, or refused before anything was written. */
export type Item =
  | { readonly outgoing: Outgoing; readonly encoded: EncodedEvent }
  | { readonly error: unknown };

type Sent = Extract<Item, { readonly outgoing: Outgoing }>;

/** Writes the items, in their order; one result for each. */
export async function publishItems(
  log: Log,
  items: readonly Item[],
): Promise<readonly PublishResult[]> {
  const sent = items.filter((item) => "encoded" in item);
  const isPlain = sent.every(({ outgoing }) => outgoing.to === undefined);
  const ids = new Set(sent.map(({ encoded }) => encoded.id));
  if (isPlain && sent.length > 0 && ids.size === sent.length) {
    const together = await publishTogether(log, sent);
    if (together) {
      let next = 0;
      return items.map((item) =>
        "error" in item ? { ok: false, error: item.error } : together[next++]!,
      );
    }
  }
  // In one turn: what needs no look is one batch all the same.
  return Promise.all(
    items.map((item) => ("error" in item ? refused(item.error) : publishOne(log, item))),
  );
}

/** As one request, unless one of the events is in the log. */
async function publishTogether(
  log: Log,
  sent: readonly Sent[],
): Promise<readonly PublishResult[] | undefined> {
  const outcome = await log.writer.write(looseRequest(sent.map(({ encoded }) => encoded)));
  if (outcome.kind !== "written") return undefined;
  return outcome.positions.map((position) => ({ ok: true, position: toPosition(position) }));
}

async function publishOne(log: Log, { outgoing, encoded }: Sent): Promise<PublishResult> {
  try {
    if (outgoing.to) return await direct(log, outgoing.to, encoded);
    const { position } = await appendOnce(log, encoded, 0);
    return { ok: true, position: toPosition(position) };
  } catch (error) {
    return { ok: false, error };
  }
}

/**
 * Appends the event, or finds it: an id that is there was published before, and its publisher lost
 * the answer and asks again.
 */
async function appendOnce(
  log: Log,
  encoded: EncodedEvent,
  flags: number,
): Promise<{ readonly position: number; readonly known?: StoredEvent }> {
  for (;;) {
    const outcome = await log.writer.write(looseRequest([encoded], flags));
    if (outcome.kind === "written") return { position: outcome.position };
    const [known] = (await findKnown(log, [encoded.id])).values();
    // One that is gone again was taken out of the log in between.
    if (known) return { position: known.position, known };
  }
}

async function direct(
  log: Log,
  to: NonNullable<Outgoing["to"]>,
  encoded: EncodedEvent,
): Promise<PublishResult> {
  const { schema } = log.settings;
  const group = toStoredText(to.group);
  const text = `SELECT 1 FROM ${schema}.groups WHERE name = $1`;
  if ((await log.connection.value(text, [group])) === null) return noGroup(to.group);
  const { event } = encoded;
  // Nobody sees it in the log: should the next statement never come, nothing has happened.
  const { position, known } = await appendOnce(log, encoded, directedFlag);
  // The log may have other content under the id, and a run of retention that found nobody in need
  // of it may just be removing it: the delivery carries its own.
  const own = known ? JSON.stringify(event) : null;
  const found = await log.connection.value(`SELECT ${schema}.direct($1, $2, $3, $4, $5, $6, $7)`, [
    group,
    position,
    to.attempt ?? 1,
    priorityRank(event),
    event.metadata.deliverAt ?? null,
    own,
    channelOf(schema),
  ]);
  return found === true ? { ok: true, position: toPosition(position) } : noGroup(to.group);
}

function refused(error: unknown): Promise<PublishResult> {
  return Promise.resolve({ ok: false, error });
}

function noGroup(group: string): PublishResult {
  const message = `There is no group "${group}" to hand an event to.`;
  return { ok: false, error: new CadreError("NOT_FOUND", message, { what: "group", id: group }) };
}
