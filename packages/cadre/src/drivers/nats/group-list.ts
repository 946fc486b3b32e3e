/** What is known of all groups: their definitions, and how far their consumers are. */
import type { GroupState } from "../../bus/transport.ts";
import { consumerInfo, type GroupRecord } from "./groups.ts";
import { LogCursor } from "./log-cursor.ts";
import type { Session } from "./session.ts";
import { groupToken } from "./subjects.ts";
import { toPosition } from "./wire.ts";

const decoder = new TextDecoder();
const pageSize = 100; // definitions are small

/** By name. */
export async function listGroups(session: Session): Promise<GroupState[]> {
  const groups: GroupState[] = [];
  for (const { name, definition } of await readRecords(session)) {
    groups.push({ name, definition, ...(await placeOf(session, name)) });
  }
  return groups.sort((left, right) => (left.name < right.name ? -1 : 1));
}

async function readRecords(session: Session): Promise<GroupRecord[]> {
  const { keptStream: stream, prefix } = session.settings;
  const subject = `${prefix}.k.g.>`;
  const cursor = await LogCursor.open({ session, stream, subject }, { deliver_policy: "all" });
  const records: GroupRecord[] = [];
  try {
    for (let waiting = cursor.waiting; waiting > 0;) {
      const page = await cursor.nextOfKept(Math.min(pageSize, waiting));
      if (page.length === 0) break;
      for (const { message, info } of page) {
        waiting = info.pending;
        records.push(JSON.parse(decoder.decode(message.data)) as GroupRecord); // of `keepRecord`
      }
    }
  } finally {
    await cursor.close();
  }
  return records;
}

/** Nothing for a group whose consumers were deleted by hand, or are just being made. */
async function placeOf(session: Session, name: string): Promise<Partial<GroupState>> {
  const { stream, directedStream } = session.settings;
  const token = groupToken(name);
  const [main, directed] = await Promise.all([
    consumerInfo(session, stream, token),
    consumerInfo(session, directedStream, token),
  ]);
  if (!main) return {};
  const copies = directed ? directed.num_pending + directed.num_ack_pending : 0;
  return {
    position: toPosition(main.delivered.stream_seq),
    behind: main.num_pending,
    open: main.num_ack_pending + copies,
  };
}
