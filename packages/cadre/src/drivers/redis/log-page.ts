import { pageScript } from "./lua-groups.ts";
import type { Session } from "./session.ts";
import type { Wanted } from "./topics.ts";

export interface PageEntry {
  readonly id: string;
  readonly bytes: Buffer;
}

export interface Page {
  readonly entries: readonly PageEntry[];
  /** So far was looked; the next page goes on after it. */
  readonly reached: string;
  readonly more: boolean;
}

export interface PageRequest {
  readonly wanted: Wanted;
  readonly backward?: boolean;
  /** Not included; empty for the beginning, or for the end when backward. */
  readonly from: string;
  /** Not included; empty for no bound. */
  readonly to?: string;
  readonly count: number;
}

/** Events of several streams, in the order of positions. */
export async function readPage(session: Session, request: PageRequest): Promise<Page> {
  const { wanted, backward = false, from, to = "", count } = request;
  const args = [backward ? "backward" : "forward", from, to, count, JSON.stringify(wanted)];
  const answer = await session.run("a page of events", pageScript, args);
  const [reached, more, ...flat] = answer as [Buffer, number, ...Buffer[]];
  const entries: PageEntry[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    entries.push({ id: String(flat[at]), bytes: flat[at + 1]! });
  }
  return { entries, reached: String(reached), more: more === 1 };
}
