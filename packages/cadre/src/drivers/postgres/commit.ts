/**
 * One commit, until it is written or refused.
 *
 *   write ─written─▶ answer
 *     ▲  └known──▶ read the events that are there ─▶ all the same ─▶ duplicate
 *     │                  │ a part                 └─ others ─▶ DUPLICATE_ID
 *     └──write the rest──┘
 */
import type { CommitResult } from "../../store/event-store.ts";
import { headOf } from "./log-reader.ts";
import { decodeStored, eventSelection, eventTables } from "./event-rows.ts";
import type { Log } from "./postgres-log.ts";
import {
  compareKnown,
  requestOf,
  type Known,
  type KnownEvents,
  type PreparedCommit,
} from "./prepared-commit.ts";
import { plainArray } from "./array-literal.ts";
import { toStoredText } from "./stored-text.ts";
import type { WriteOutcome, WriteRequest } from "./write-request.ts";

/** @throws {CadreError} VERSION_CONFLICT | DUPLICATE_ID | STORE_… | UNREACHABLE | CLOSED */
export async function commitPrepared(log: Log, commit: PreparedCommit): Promise<CommitResult> {
  const outcome = await commitGuarded(log, commit, undefined);
  if (outcome.kind === "committed") return outcome.result;
  throw new Error(`a commit without a guard was refused by one: ${outcome.verdict}`);
}

/**
 * Commits together with what the guard settles (see `WriteRequest.guard`), or tells what the guard
 * answered instead.
 */
export async function commitGuarded(
  log: Log,
  commit: PreparedCommit,
  guard: string | undefined,
): Promise<
  | { readonly kind: "committed"; readonly result: CommitResult }
  | { readonly kind: "guarded"; readonly verdict: string }
> {
  let known: KnownEvents | undefined;
  let there: Known | undefined;
  for (;;) {
    const request = requestOf(commit, known, there);
    const outcome = await write(log, guard === undefined ? request : { ...request, guard });
    if (outcome.kind === "guarded") return outcome;
    if (outcome.kind === "written") {
      const versions = await versionsOf(log, commit, { known, there, outcome });
      return {
        kind: "committed",
        result: { position: outcome.position, versions, duplicate: false },
      };
    }
    known = await findKnown(
      log,
      commit.events.map(({ id }) => id),
    );
    there = compareKnown(commit, known);
    if (there.duplicate) {
      const versions = await versionsOf(log, commit, { known, there });
      const position = await headOf(log.connection);
      return { kind: "committed", result: { position, versions, duplicate: true } };
    }
  }
}

/** An empty request needs no lock. */
async function write(log: Log, request: WriteRequest): Promise<WriteOutcome> {
  const { appends, loose, slots, inbox, guard } = request;
  const isEmpty = appends.length + loose.length + slots.length + inbox.length === 0;
  if (!isEmpty || guard !== undefined) return log.writer.write(request);
  const position = await headOf(log.connection);
  return { kind: "written", positions: [], versions: [], position, at: 0 };
}

interface Written {
  readonly known: KnownEvents | undefined;
  readonly there: Known | undefined;
  readonly outcome?: WriteOutcome & { readonly kind: "written" };
}

/** Where each append left its stream: those that were written, and those that were there. */
async function versionsOf(
  log: Log,
  commit: PreparedCommit,
  { known, there, outcome }: Written,
): Promise<readonly number[]> {
  const versions: number[] = [];
  let written = 0;
  for (const { append } of commit.appends) {
    const isWritten = outcome && !there?.appends.has(append);
    const last = append.events.at(-1);
    if (isWritten) versions.push(outcome.versions[written++]!);
    else
      versions.push(known?.get(last?.id ?? "")?.version ?? (await versionOf(log, append.stream)));
  }
  return versions;
}

export async function versionOf(log: Log, stream: string): Promise<number> {
  const { schema } = log.settings;
  const text = `SELECT version FROM ${schema}.streams WHERE name = $1`;
  return Number((await log.connection.value(text, [toStoredText(stream)])) ?? 0);
}

/** Those events of the log that have one of these packed ids, by their own ids. */
export async function findKnown(log: Log, ids: readonly string[]): Promise<KnownEvents> {
  const { schema } = log.settings;
  const rows = await log.connection.query(
    `SELECT ${eventSelection} FROM ${eventTables(schema)} WHERE e.id = ANY ($1::uuid[])`,
    [plainArray(ids)],
  );
  return new Map(rows.map(decodeStored).map((stored) => [stored.event.id, stored]));
}
