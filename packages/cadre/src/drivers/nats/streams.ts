/**
 * The three streams of one bus.
 *
 *   STREAM            PREFIX.e.>   the events, in order, kept as long as `maxAgeMs` says
 *   STREAM_directed   PREFIX.g.>   copies for one group alone: the last of each event, until acked
 *   STREAM_kept       PREFIX.k.>   the last value of each subject: dead letters, groups
 */
import { CadreError } from "../../core/errors.ts";
import { isRefusal, NobodyThere, refusals } from "./nats-error.ts";
import type { Session } from "./session.ts";

export interface StreamConfig {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: string;
  readonly storage: string;
  readonly max_msgs_per_subject: number;
  readonly max_age: number;
  readonly duplicate_window: number;
  readonly num_replicas: number;
  readonly discard: string;
}

interface StreamInfo {
  readonly config: StreamConfig;
  readonly state: { readonly first_seq: number; readonly last_seq: number };
}

export const nanoseconds = 1_000_000; // in a millisecond

/** Makes the streams that are not there yet, and checks those that are. */
export async function prepareStreams(session: Session): Promise<void> {
  try {
    for (const wanted of streamsOf(session)) await prepare(session, wanted);
  } catch (error) {
    if (!(error instanceof NobodyThere) && !isRefusal(error, 10_039) && !isRefusal(error, 10_076)) {
      throw error;
    }
    const message =
      `The NATS server at ${session.url} offers no JetStream to this account. ` +
      "Start it with -js, or allow it for the account.";
    throw new CadreError("UNSUPPORTED", message, { feature: "JetStream", by: session.url }, error);
  }
}

function streamsOf({ settings }: Session): readonly StreamConfig[] {
  const { prefix, stream, directedStream, keptStream, maxAgeMs, dedupeMs, replicas } = settings;
  const common = { storage: "file", num_replicas: replicas, discard: "old" };
  const small = { ...common, max_age: 0, max_msgs_per_subject: 1 };
  const shortWindow = 100 * nanoseconds; // ids are not used there
  return [
    {
      ...common,
      name: stream,
      subjects: [`${prefix}.e.>`],
      retention: "limits",
      max_msgs_per_subject: -1,
      max_age: maxAgeMs * nanoseconds,
      duplicate_window: dedupeMs * nanoseconds,
    },
    {
      ...small,
      name: directedStream,
      subjects: [`${prefix}.g.>`],
      retention: "workqueue",
      duplicate_window: shortWindow,
    },
    {
      ...small,
      name: keptStream,
      subjects: [`${prefix}.k.>`],
      retention: "limits",
      duplicate_window: shortWindow,
    },
  ];
}

async function prepare(session: Session, wanted: StreamConfig): Promise<void> {
  const { name } = wanted;
  const againMs = Math.min(session.settings.requestTimeoutMs, 1_000);
  const inform = (): Promise<StreamInfo> =>
    session.patiently(() => streamInfo(session, name, againMs));
  try {
    check(session, wanted, (await inform()).config);
    return;
  } catch (error) {
    if (!isRefusal(error, refusals.streamNotFound)) throw error;
  }
  try {
    await session.api(`STREAM.CREATE.${name}`, wanted);
  } catch (error) {
    // Another process was first, with other settings.
    if (!isRefusal(error, refusals.nameInUse)) throw error;
    check(session, wanted, (await inform()).config);
  }
}

export function streamInfo(
  session: Session,
  stream: string,
  timeoutMs?: number,
): Promise<StreamInfo> {
  return session.api<StreamInfo>(`STREAM.INFO.${stream}`, undefined, timeoutMs);
}

/** What would break a promise of the transport is refused; all else is the operator's. */
function check(session: Session, wanted: StreamConfig, found: StreamConfig): void {
  const { dedupeMs } = session.settings;
  const sameWindow = found.duplicate_window === wanted.duplicate_window;
  const problems: readonly (readonly [boolean, string, string, unknown])[] = [
    [
      found.subjects.length === 1 && found.subjects[0] === wanted.subjects[0],
      "prefix",
      `it keeps ${found.subjects.join(", ")} and not ${wanted.subjects[0]}`,
      session.settings.prefix,
    ],
    [found.storage === "file", "stream", "it keeps its messages in memory", wanted.name],
    [
      found.retention === wanted.retention,
      "stream",
      `its retention is ${found.retention} and not ${wanted.retention}`,
      wanted.name,
    ],
    [
      found.max_msgs_per_subject === wanted.max_msgs_per_subject,
      "stream",
      `it keeps ${found.max_msgs_per_subject} messages a subject`,
      wanted.name,
    ],
    [
      wanted.name !== session.settings.stream || sameWindow,
      "dedupeMs",
      `its duplicate window is ${found.duplicate_window / nanoseconds} ms and not ${dedupeMs}`,
      dedupeMs,
    ],
  ];
  for (const [holds, option, what, value] of problems) {
    if (holds) continue;
    const message = `The stream "${wanted.name}" at ${session.url} does not fit: ${what}.`;
    throw new CadreError("INVALID_OPTION", message, { option, value });
  }
}
