import { systemClock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { createEvent } from "../core/event.ts";
import { SeededRandom, secureRandom } from "../core/random.ts";
import type { EventStore } from "../store/event-store.ts";
import type { StoreCheck, StoreCheckContext } from "./store-check.ts";
import { appendChecks } from "./store-checks/append.ts";
import { lifeChecks } from "./store-checks/life.ts";
import { readChecks } from "./store-checks/read.ts";
import { slotChecks } from "./store-checks/slots.ts";
import { upkeepChecks } from "./store-checks/upkeep.ts";
import { watchChecks } from "./store-checks/watch.ts";

/** How the caller's test runner declares a test: `test` of node:test and of Vitest fit. */
export type DeclareTest = (name: string, run: () => Promise<void>) => unknown;

export interface StoreConformanceOptions {
  readonly test: DeclareTest;
  /** A store that is empty, for one check alone; the suite closes it. */
  readonly createStore: () => Promise<EventStore> | EventStore;
  /** Closes the store and opens it again with what it has on disk. */
  readonly reopen?: (store: EventStore) => Promise<EventStore>;
  /** A second connection to the log of a store that `createStore` made; the suite closes it. */
  readonly peer?: (store: EventStore) => Promise<EventStore>;
  /** Checks that cannot apply, each with its reason, which the report shows. */
  readonly notApplicable?: readonly { readonly check: string; readonly reason: string }[];
  /** How long a check waits for what must happen, in milliseconds. @default 5_000 */
  readonly boundMs?: number;
}

/** The checks of the store suite, by id. */
export const storeChecks: readonly StoreCheck[] = [
  ...appendChecks,
  ...readChecks,
  ...watchChecks,
  ...slotChecks,
  ...lifeChecks,
  ...upkeepChecks,
];

/**
 * Declares one test for each thing that an event store must show.
 *
 * @throws {CadreError} INVALID_OPTION, when `notApplicable` names a check that there isn't
 */
export function storeConformance(options: StoreConformanceOptions): void {
  const excused = new Map(options.notApplicable?.map(({ check, reason }) => [check, reason]));
  for (const check of excused.keys()) {
    if (storeChecks.some(({ id }) => id === check)) continue;
    throw new CadreError("INVALID_OPTION", `The store suite has no check "${check}".`, {
      option: "notApplicable",
      value: check,
    });
  }
  for (const check of storeChecks) {
    const missing =
      check.needs && !options[check.needs] ? `the caller gave no \`${check.needs}\`` : undefined;
    const reason = excused.get(check.id) ?? missing;
    const name = `${check.id} ${check.name}`;
    if (reason === undefined) options.test(name, () => runStoreCheck(check, options));
    else options.test(`${name} — not applicable: ${reason}`, async () => {});
  }
}

/** Runs one check on a store of its own; rejects when the store fails it. */
export async function runStoreCheck(
  check: StoreCheck,
  options: Omit<StoreConformanceOptions, "test" | "notApplicable">,
): Promise<void> {
  const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));
  const opened: EventStore[] = [await options.createStore()];
  const open = async (store: Promise<EventStore>): Promise<EventStore> => {
    opened.push(await store);
    return store;
  };
  try {
    await check.run(makeContext(opened[0]!, seed, options, open));
  } catch (error) {
    const place = `${check.id} (run it again with CADRE_SEED=${seed})`;
    if (error instanceof Error) error.message = `${place}: ${error.message}`;
    throw error;
  } finally {
    for (const store of opened.toReversed()) await store.close();
  }
}

function makeContext(
  store: EventStore,
  seed: number,
  options: Omit<StoreConformanceOptions, "test" | "notApplicable">,
  open: (store: Promise<EventStore>) => Promise<EventStore>,
): StoreCheckContext {
  const random = new SeededRandom(seed);
  const ids = secureRandom; // ids are new in every run, also where the log outlives it
  const boundMs = options.boundMs ?? 5_000;
  return {
    store,
    random,
    reopen: (closing) => {
      if (options.reopen) return open(options.reopen(closing));
      throw new CadreError("INTERNAL", "The check needs `reopen`.", { what: "reopen" });
    },
    peer: (first) => (options.peer ? open(options.peer(first)) : Promise.resolve(first)),
    event: (type = "suite.noted", payload = {}, { source = "suite", ...rest } = {}) =>
      createEvent({ clock: systemClock, random: ids, source }, type, payload, rest),
    until: async (predicate, what) => {
      const deadline = systemClock.monotonic() + boundMs;
      while (!(await predicate())) {
        if (systemClock.monotonic() > deadline) {
          throw new Error(`${what}: not within ${boundMs} ms`);
        }
        await systemClock.sleep(2);
      }
    },
  };
}
