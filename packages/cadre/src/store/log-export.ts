/**
 * The log as lines of JSON: a head, the rows with the seals right behind the last row that each
 * covers, and the end of the chain. What a third party needs to verify it is in it.
 *
 *   {"cadre":"log","format":1}
 *   {"position":1, … "event":{…}}
 *   {"seal":1,"prev":"0000…","from":1,"to":256, …}
 *   {"position":257, …}                              not sealed yet
 *   {"anchor":1,"to":256,"hash":"…"}
 */
import { CadreError } from "../core/errors.ts";
import type { EventStore } from "./event-store.ts";
import { rowLine } from "./row-line.ts";
import { anchorLine, parseSeal, readChainHead, sealSlot, type Seal } from "./seal.ts";
import { readRows } from "./store-query.ts";

export const exportHead: string = JSON.stringify({ cadre: "log", format: 1 });

export interface ExportOptions {
  readonly signal?: AbortSignal;
}

/**
 * The lines of the log as it is when the first one is asked for, without their ends. Of two equal
 * logs they are equal. Others may write meanwhile.
 *
 * @throws {CadreError} UNDECODABLE, when a row cannot be read; verify the log
 */
export async function* exportLog(
  store: EventStore,
  options: ExportOptions = {},
): AsyncIterable<string> {
  const { anchor } = await readChainHead(store);
  const upTo = await store.head();
  yield exportHead;
  const seals = new Seals(store, anchor?.anchor ?? 0);
  let seal = await seals.next();
  for await (const row of readRows(store, { upTo })) {
    options.signal?.throwIfAborted();
    for (; seal && seal.to < row.position; seal = await seals.next()) yield seal.line;
    yield rowLine(row);
  }
  for (; seal; seal = await seals.next()) yield seal.line;
  if (anchor) yield anchorLine(anchor);
}

/** The seals of a chain, one at a time. */
class Seals {
  readonly #store: EventStore;
  readonly #last: number;
  #number = 0;

  constructor(store: EventStore, last: number) {
    this.#store = store;
    this.#last = last;
  }

  async next(): Promise<(Pick<Seal, "to"> & { readonly line: string }) | undefined> {
    if (this.#number >= this.#last) return undefined;
    this.#number += 1;
    const line = (await this.#store.slot(sealSlot(this.#number)))?.value;
    const seal = line === undefined ? undefined : parseSeal(line);
    if (line !== undefined && seal) return { to: seal.to, line };
    const reason = `seal ${this.#number} of the log is missing, or cannot be read`;
    throw new CadreError("UNDECODABLE", `Cannot export: ${reason}. Verify the log.`, { reason });
  }
}
