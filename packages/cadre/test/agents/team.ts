/** A team in one process on virtual time, for the tests of this folder. */
import { VirtualClock, SeededRandom, memoryStore, memory, type EventStore } from "cadre";
import { startCadre, type Cadre, type CadreOptions } from "cadre/agents";

export interface TestTeam {
  readonly clock: VirtualClock;
  readonly store: EventStore;
  /** Starts one more runtime on the same store, as another process would. */
  start(options?: CadreOptions): Promise<Cadre>;
  /** Lets time pass until `promise` is settled, at most `withinMs` of virtual time. */
  until<Value>(promise: Promise<Value>, withinMs?: number): Promise<Value>;
  close(): Promise<void>;
}

export function testTeam(): TestTeam {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const running: Cadre[] = [];
  let seed = 1;
  const until = async <Value>(promise: Promise<Value>, withinMs = 120_000): Promise<Value> => {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    const endAt = clock.monotonic() + withinMs;
    await clock.settle();
    while (!settled && clock.monotonic() < endAt) await clock.advance(50);
    if (!settled) throw new Error(`nothing came within ${withinMs} ms of virtual time`);
    return promise;
  };
  return {
    clock,
    store,
    async start(options = {}) {
      const team = await startCadre({
        store,
        bus: memory({ clock }),
        clock,
        random: new SeededRandom(seed++),
        ...options,
      });
      running.push(team);
      return team;
    },
    until,
    async close() {
      for (const team of running) await until(team.close({ deadlineMs: 1_000 }));
      await store.close();
    },
  };
}
