/**
 * Strict mode, for tests: a handler is left behind after every step and entered again from the top,
 * as after a crash. A handler that is not deterministic between its steps shows it here.
 */
import { CadreError } from "../core/errors.ts";
import { toFrozenJson } from "../core/json.ts";
import type { AgentEvent } from "../core/event.ts";
import { stableJson } from "../core/stable-json.ts";
import type { TaskEntry } from "./task-entry.ts";
import { never } from "./within-time.ts";

export interface StrictPort {
  /** Makes an entry that calls `afterReceipt` behind each step that it has run itself. */
  enter(afterReceipt: (step: string) => Promise<void>): Promise<TaskEntry>;
  /** Runs an entry's handler. */
  run(entry: TaskEntry): Promise<unknown>;
  readonly patienceMs: number;
}

interface Round {
  readonly entry: TaskEntry;
  /** Absent when the handler was left behind a step. */
  readonly end?: { readonly output: unknown };
}

/**
 * Enters until the handler returns, and once more to compare.
 *
 * @throws {CadreError} STEP_DRIFT, saying which step differs
 */
export async function enterStrictly(
  port: StrictPort,
): Promise<{ readonly entry: TaskEntry; readonly output: unknown }> {
  let before = await enterOnce(port);
  for (;;) {
    const now = await enterOnce(port);
    assertSameSteps(before.entry.journal.asked, now);
    if (before.end && now.end) {
      assertSameEnd(before, now);
      return { entry: now.entry, output: now.end.output };
    }
    if (before.end) {
      const asked = [...now.entry.journal.asked.keys()].at(-1) ?? "";
      throw differs(asked, "the handler's end", `a new step "${asked}"`);
    }
    before = now;
  }
}

async function enterOnce(port: StrictPort): Promise<Round> {
  let leave = (): void => {};
  const left = new Promise<undefined>((resolve) => {
    leave = () => resolve(undefined);
  });
  const entry = await port.enter(() => {
    leave();
    return never();
  });
  const ended = port.run(entry).then((output) => ({ output }));
  const end = await Promise.race([ended, left]);
  if (end) return { entry, end };
  ended.catch(() => undefined); // nobody waits for it any more
  // Steps beside the one that has ended get their receipts too: the next entry must not run them.
  await entry.journal.seal(port.patienceMs);
  await entry.journal.flush();
  return { entry };
}

/** Every step that was asked for before must be asked for again, with the same input. */
function assertSameSteps(before: ReadonlyMap<string, string>, { entry }: Round): void {
  const { asked } = entry.journal;
  const isFinished = (name: string): boolean => {
    const status = entry.journal.stateOf(name)?.status;
    return status === "done" || status === "skipped" || status === "refused";
  };
  for (const [name, hash] of before) {
    const again = asked.get(name);
    if (again === undefined && isFinished(name)) {
      const others = [...asked.keys()].filter((other) => !before.has(other));
      const instead = others.length > 0 ? `step "${others[0]}"` : "no such step";
      throw differs(name, `step "${name}"`, instead);
    }
    if (again !== undefined && again !== hash) {
      throw differs(name, `step "${name}" with input ${hash}`, `input ${again}`);
    }
  }
}

function assertSameEnd(before: Round, now: Round): void {
  const last = [...now.entry.journal.asked.keys()].at(-1) ?? "(none)";
  const textOf = ({ end }: Round): string =>
    end?.output === undefined ? "" : stableJson(toFrozenJson(end.output));
  if (textOf(before) !== textOf(now)) {
    throw differs(last, `the result ${textOf(before)}`, `the result ${textOf(now)}`);
  }
  for (const [what, kind] of [
    ["events", "heldBack"],
    ["records", "records"],
  ] as const) {
    const [first, then] = [before, now].map(({ entry }) => inWords(entry.common[kind]));
    if (first !== then) throw differs(last, `the ${what} ${first}`, `the ${what} ${then}`);
  }
}

function inWords(events: readonly AgentEvent[]): string {
  return events
    .map(({ type, payload }) => `${type} ${stableJson(toFrozenJson(payload))}`)
    .join("; ");
}

function differs(step: string, expected: string, actual: string): CadreError<"STEP_DRIFT"> {
  const message =
    `The handler is not the same when it runs again. At step "${step}": first ${expected}, ` +
    `then ${actual}. Between steps it must use nothing but its input and their results.`;
  return new CadreError("STEP_DRIFT", message, { step, expected, actual });
}
