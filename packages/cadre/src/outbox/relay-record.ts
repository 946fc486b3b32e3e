import type { SlotWrite } from "../core/commit.ts";
import type { ErrorRecord } from "../core/errors.ts";
import type { EventStore, LogPosition } from "../store/event-store.ts";

/** An event that the carrier refuses for ever, set aside so that the others go on. */
export interface SetAside {
  readonly position: LogPosition;
  readonly id: string;
  readonly type: string;
  readonly error: ErrorRecord;
  readonly attempts: number;
  /** Unix milliseconds. */
  readonly at: number;
}

// as many as the largest safe integer has: names then sort as positions do
const positionDigits = 16;

function asideName(relay: string, position: LogPosition): string {
  return `relay/${relay}/aside/${String(position).padStart(positionDigits, "0")}`;
}

/** The position up to which a relay has published everything. */
export async function readPosition(store: EventStore, relay: string): Promise<LogPosition> {
  const slot = await store.slot(`relay/${relay}/position`);
  return slot ? Number(slot.value) : 0;
}

/** No version is expected: the relay's lease fences the write. */
export function positionWrite(relay: string, position: LogPosition): SlotWrite {
  return { name: `relay/${relay}/position`, expectedVersion: "any", value: String(position) };
}

export function asideWrite(relay: string, aside: SetAside): SlotWrite {
  const name = asideName(relay, aside.position);
  return { name, expectedVersion: "any", value: JSON.stringify(aside) };
}

export async function dropAside(
  store: EventStore,
  relay: string,
  position: LogPosition,
): Promise<void> {
  const name = asideName(relay, position);
  await store.commit({ slots: [{ name, expectedVersion: "any", value: undefined }] });
}

/** By position. */
export async function listAside(store: EventStore, relay: string): Promise<readonly SetAside[]> {
  const slots = await store.slots(`relay/${relay}/aside/`);
  return slots.map(({ value }) => JSON.parse(value) as SetAside); // only this file writes them
}
