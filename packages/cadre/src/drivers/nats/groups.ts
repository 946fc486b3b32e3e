/**
 * Groups: a definition that the first member writes, and two durable consumers that all members
 * share.
 *
 *   PREFIX.k.g.GROUP            the definition, written only where there is none
 *   STREAM / GROUP              the place in the log
 *   STREAM_directed / GROUP     the copies for this group alone
 *
 * Members make the consumers from the definition that was kept, never from their own: making a
 * consumer again with other settings would change it under the others.
 */
import type { ConsumeSpec, StartFrom } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import { isRefusal, refusals } from "./nats-error.ts";
import type { Session } from "./session.ts";
import { nanoseconds } from "./streams.ts";
import { groupSubject, groupToken, planSubject, takes } from "./subjects.ts";
import { fromPosition } from "./wire.ts";

/** Where a consumer begins, in JetStream's words. */
export interface StartConfig {
  readonly deliver_policy: string;
  readonly opt_start_seq?: number;
  readonly opt_start_time?: string;
}

/** What is kept of a group. */
export interface GroupRecord {
  readonly name: string;
  readonly definition: string;
  readonly filterSubject: string;
  readonly start: StartConfig;
  /**
   * How long a delivery is its member's without a word to the server. The server waits a little
   * longer.
   */
  readonly ackWaitMs: number;
  readonly maxAckPending: number;
}

export interface ConsumerInfo {
  readonly name: string;
  readonly num_pending: number;
  readonly num_ack_pending: number;
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** @throws {CadreError} INVALID_OPTION, for what is no position */
export function startConfig(from: StartFrom): StartConfig {
  if (from === "new") return { deliver_policy: "new" };
  if (from === "earliest") return { deliver_policy: "all" };
  if ("after" in from) return startAt(fromPosition(from.after) + 1);
  return { deliver_policy: "by_start_time", opt_start_time: new Date(from.time).toISOString() };
}

export function startAt(sequence: number): StartConfig {
  return { deliver_policy: "by_start_sequence", opt_start_seq: Math.max(1, sequence) };
}

/**
 * The group's definition, written now if this is the first member, and its consumers.
 *
 * @throws {CadreError} GROUP_MISMATCH
 */
export async function joinGroup(session: Session, spec: ConsumeSpec): Promise<GroupRecord> {
  const { prefix, maxAckPending } = session.settings;
  const wanted: GroupRecord = {
    name: spec.subscription,
    definition: spec.definition,
    filterSubject: planSubject(prefix, spec.patterns),
    start: startConfig(spec.from),
    ackWaitMs: spec.leaseMs,
    maxAckPending,
  };
  const record = await keepRecord(session, wanted);
  if (record.definition !== wanted.definition) {
    const { name, definition: expected } = record;
    const message =
      `Group "${name}" is defined as ${expected}, and this member says ${wanted.definition}. ` +
      "Give all members one definition, use another group name, or forget this group, and what " +
      `it had not handled, with: cadre groups delete ${name} --yes`;
    const details = { group: name, expected, actual: wanted.definition };
    throw new CadreError("GROUP_MISMATCH", message, details);
  }
  await prepareConsumers(session, record);
  return record;
}

/** Who writes first, has defined the group; everyone gets what was written. */
async function keepRecord(session: Session, wanted: GroupRecord): Promise<GroupRecord> {
  for (;;) {
    const known = await findGroup(session, wanted.name);
    if (known) return known;
    try {
      await session.store(
        groupSubject(session.settings.prefix, wanted.name),
        encoder.encode(JSON.stringify(wanted)),
        { "Nats-Expected-Last-Subject-Sequence": "0" },
      );
      return wanted;
    } catch (error) {
      if (!isRefusal(error, refusals.wrongLastSequence)) throw error;
    }
  }
}

export async function findGroup(session: Session, name: string): Promise<GroupRecord | undefined> {
  const { keptStream, prefix } = session.settings;
  const data = await session.last(keptStream, groupSubject(prefix, name));
  return data && (JSON.parse(decoder.decode(data)) as GroupRecord); // written by `keepRecord`
}

async function prepareConsumers(session: Session, record: GroupRecord): Promise<void> {
  const { prefix, stream, directedStream } = session.settings;
  const token = groupToken(record.name);
  const common = {
    durable_name: token,
    description: `Cadre group ${record.name}`.slice(0, 500),
    ack_policy: "explicit",
    ack_wait: (record.ackWaitMs + marginMs(record.ackWaitMs)) * nanoseconds,
    max_deliver: -1,
    max_ack_pending: record.maxAckPending,
    replay_policy: "instant",
  };
  const directed = { deliver_policy: "all", filter_subject: `${prefix}.g.${token}.>` };
  const main = { ...record.start, filter_subject: record.filterSubject };
  await prepareConsumer(session, directedStream, { ...common, ...directed });
  await prepareConsumer(session, stream, { ...common, ...main });
}

/**
 * A member counts from the moment in which a delivery comes in, the server from the moment in which
 * it goes out. The member must be the first to give up.
 */
function marginMs(ackWaitMs: number): number {
  return Math.min(Math.max(100, Math.ceil(ackWaitMs / 10)), 5_000);
}

async function prepareConsumer(
  session: Session,
  stream: string,
  config: { readonly durable_name: string },
): Promise<void> {
  const name = config.durable_name;
  if (await consumerInfo(session, stream, name)) return;
  await session.api(`CONSUMER.DURABLE.CREATE.${stream}.${name}`, { stream_name: stream, config });
}

/** Nothing where there is no such consumer. */
export async function consumerInfo(
  session: Session,
  stream: string,
  name: string,
): Promise<ConsumerInfo | undefined> {
  try {
    return await session.api<ConsumerInfo>(`CONSUMER.INFO.${stream}.${name}`);
  } catch (error) {
    if (isRefusal(error, refusals.consumerNotFound)) return undefined;
    throw error;
  }
}

/** Whether the group has still to be handed what is at `sequence` for the first time. */
export async function isAhead(
  session: Session,
  record: GroupRecord,
  event: { readonly subject: string; readonly sequence: number },
): Promise<boolean> {
  if (!takes(record.filterSubject, event.subject)) return false;
  const info = await consumerInfo(session, session.settings.stream, groupToken(record.name));
  return info !== undefined && info.delivered.stream_seq < event.sequence;
}

/** The definition goes last: a deletion that was broken off can be repeated. */
export async function deleteGroup(session: Session, name: string): Promise<void> {
  const { stream, directedStream, keptStream, prefix } = session.settings;
  const token = groupToken(name);
  await deleteConsumer(session, stream, token);
  await deleteConsumer(session, directedStream, token);
  await session.api(`STREAM.PURGE.${directedStream}`, { filter: `${prefix}.g.${token}.>` });
  await session.api(`STREAM.PURGE.${keptStream}`, { filter: groupSubject(prefix, name) });
}

export async function deleteConsumer(
  session: Session,
  stream: string,
  name: string,
): Promise<void> {
  try {
    await session.api(`CONSUMER.DELETE.${stream}.${name}`);
  } catch (error) {
    if (!isRefusal(error, refusals.consumerNotFound)) throw error;
  }
}
