/**
 * A team on virtual time, for tests: several runtimes on one store in memory, as several processes
 * would be, and time that passes when the test says so.
 */
import type { Cadre, CadreOptions } from "../agents/cadre.ts";
import { startCadre } from "../agents/start-cadre.ts";
import { memory, memoryCarrier } from "../bus/memory-transport.ts";
import type { WithBuiltinEvents } from "../core/builtin/registry.ts";
import { VirtualClock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { SeededRandom } from "../core/random.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { EventStore } from "../store/event-store.ts";
import { memoryStore } from "../store/memory-store.ts";

export interface TestTeam {
  readonly clock: VirtualClock;
  readonly store: EventStore;
  /** Starts one more runtime on the same store and the same bus, as another process would. */
  start<Own extends object>(
    options: CadreOptions<Own> & { readonly events: EventRegistry<Own> },
  ): Promise<Cadre<WithBuiltinEvents<Own>>>;
  start(options?: CadreOptions): Promise<Cadre>;
  /**
   * Lets time pass until `promise` is settled, and resolves or rejects as it does.
   *
   * @param withinMs virtual milliseconds; two minutes unless given
   * @throws {CadreError} TIMEOUT, when it is not settled by then
   */
  until<Value>(promise: Promise<Value>, withinMs?: number): Promise<Value>;
  /**
   * Closes every runtime that was started, then the store.
   *
   * @throws {CadreError} STEP_DRIFT, in strict mode, when a handler was not the same when it ran
   * again
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestTeamOptions {
  /** Chance comes from it, so that a run can be repeated. @default 1 */
  readonly seed?: number;
  /**
   * Leaves the handlers of tasks behind after every step and enters them again from the top, as
   * after a crash. One that then asks for other steps, gives them other inputs, or ends otherwise
   * fails its task and the test's `close`. @default false
   */
  readonly strict?: boolean;
}

/** Makes a team for one test. */
export function testTeam(options: TestTeamOptions = {}): TestTeam {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const carrier = memoryCarrier({ clock });
  const random = new SeededRandom(options.seed ?? 1);
  const running: Cadre[] = [];
  const differences: Error[] = [];
  const until = async <Value>(promise: Promise<Value>, withinMs = 120_000): Promise<Value> => {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    const endAt = clock.monotonic() + withinMs;
    await clock.settle();
    // From timer to timer: nothing happens in between. Without one, nothing ever will.
    while (!settled && clock.monotonic() < endAt && (await clock.advanceToNext()));
    if (settled) return promise;
    const message = `Nothing came within ${withinMs} ms of virtual time.`;
    throw new CadreError("TIMEOUT", message, { what: "testTeam", timeoutMs: withinMs });
  };
  const close = async (): Promise<void> => {
    for (const team of running.splice(0)) await until(team.close({ deadlineMs: 1_000 }));
    await store.close();
    const [difference] = differences.splice(0);
    if (difference) throw difference;
  };
  const start = async (more: CadreOptions = {}): Promise<Cadre> => {
    const team = await startCadre({
      store,
      bus: memory({ carrier }),
      clock,
      random: random.fork(`runtime-${running.length}`),
      ...(options.strict ? { strict: (difference) => void differences.push(difference) } : {}),
      ...more,
    });
    running.push(team);
    return team;
  };
  return {
    clock,
    store,
    start,
    until,
    close,
    [Symbol.asyncDispose]: close,
  };
}
