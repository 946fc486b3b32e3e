/** Stores that are broken on purpose, and the checks of the suite that find each. */
import { isCadreError, memoryStore } from "cadre";
import type { AgentEvent, Commit, EventStore, StoreQuery, StoredEvent } from "cadre";
import { changed } from "../changed.ts";

export type Break = (store: EventStore) => Partial<EventStore>;

/** A memory store with some of its calls broken. */
export function broken(change: Break): EventStore {
  const store = memoryStore();
  return changed(store, change(store));
}

const committing =
  (change: (commit: Commit, store: EventStore) => Commit): Break =>
  (store) => ({ commit: async (commit) => store.commit(change(commit, store)) });

const reading =
  (change: (stored: StoredEvent, index: number) => StoredEvent | undefined): Break =>
  (store) => ({
    async *read(query) {
      let index = 0;
      for await (const stored of store.read(query)) {
        const changed = change(stored, (index += 1));
        if (changed) yield changed;
      }
    },
  });

const asking =
  (change: (query: StoreQuery) => StoreQuery): Break =>
  (store) => ({
    read: (query = {}) => store.read(change(query)),
  });

const forgiving =
  (codes: readonly string[]): Break =>
  (store) => ({
    commit: (commit) =>
      store.commit(commit).catch((error: unknown) => {
        if (isCadreError(error) && codes.includes(error.code)) {
          return { position: 0, versions: [], duplicate: true };
        }
        throw error;
      }),
  });

const withEvents = (event: AgentEvent, payload: unknown): AgentEvent => ({ ...event, payload });

export const brokenStores: readonly {
  readonly what: string;
  readonly change: Break;
  readonly foundBy: readonly string[];
}[] = [
  {
    what: "ignores the expected version of streams",
    change: committing((commit) => ({
      ...commit,
      appends: (commit.appends ?? []).map((each) => ({ ...each, expectedVersion: "any" as const })),
    })),
    foundBy: ["S-01", "S-02", "S-03", "S-08"],
  },
  {
    what: "writes the parts of a commit one after the other",
    change: (store) => ({
      commit: async ({ appends = [], ...rest }) => {
        for (const append of appends) await store.commit({ appends: [append] });
        return store.commit(rest);
      },
    }),
    foundBy: ["S-03"],
  },
  {
    what: "refuses a commit that it has already",
    change: (store) => ({
      commit: async (commit) => {
        const result = await store.commit(commit);
        if (result.duplicate) throw new Error("a duplicate");
        return result;
      },
    }),
    foundBy: ["S-04", "S-06", "S-23"],
  },
  {
    what: "answers a repeated commit with the stream's newest version",
    change: (store) => ({
      commit: async (commit) => {
        const result = await store.commit(commit);
        if (!result.duplicate) return result;
        const streams = (commit.appends ?? []).map(({ stream }) => store.version(stream));
        return { ...result, versions: await Promise.all(streams) };
      },
    }),
    foundBy: ["S-04"],
  },
  {
    what: "skips a commit if any event of it is there",
    change: (store) => ({
      commit: async (commit) => {
        const ids = (commit.appends ?? []).flatMap(({ events }) => events.map(({ id }) => id));
        for (const id of ids) {
          for await (const { position } of store.read({ id })) {
            return { position, versions: [], duplicate: true };
          }
        }
        return store.commit(commit);
      },
    }),
    foundBy: ["S-05", "S-06"],
  },
  {
    what: "loses every tenth commit and says that it has it",
    change: (store) => {
      let commits = 0;
      return {
        commit: async (commit) =>
          store.commit((commits += 1) % 10 === 0 && commit.appends ? {} : commit),
      };
    },
    foundBy: ["S-07", "S-09"],
  },
  {
    what: "doesn't check the version for an append without events",
    change: committing((commit) => ({
      ...commit,
      appends: (commit.appends ?? []).filter(({ events }) => events.length > 0),
    })),
    foundBy: ["S-03", "S-08"],
  },
  {
    what: "leaves out every fiftieth event of a read",
    change: reading((stored, index) => (index % 50 === 0 ? undefined : stored)),
    foundBy: ["S-10", "S-13", "S-14"],
  },
  {
    what: "hands an event out twice",
    change: (store) => ({
      async *read(query) {
        for await (const stored of store.read(query)) {
          yield stored;
          if (stored.position === 33) yield stored;
        }
      },
    }),
    foundBy: ["S-11", "S-16"],
  },
  {
    what: "reads only forward",
    change: asking((query) => ({ ...query, backward: false })),
    foundBy: ["S-10", "S-13"],
  },
  {
    what: "takes an upper bound as exclusive",
    change: asking((query) =>
      query.upTo === undefined ? query : { ...query, upTo: Math.max(0, query.upTo - 1) },
    ),
    foundBy: ["S-10", "S-12"],
  },
  {
    what: "forgets what is private",
    change: committing((commit) => ({
      ...commit,
      appends: (commit.appends ?? []).map((append) => ({ ...append, private: false })),
    })),
    foundBy: ["S-11"],
  },
  {
    what: "gives the time of reading as the time of recording",
    change: reading((stored, index) => ({
      ...stored,
      recordedAt: stored.recordedAt - index * 1_000,
    })),
    foundBy: ["S-11"],
  },
  {
    what: "reads everything before it hands out anything",
    change: () => {
      const whole = memoryStore({ pageSize: 1_000_000 });
      return {
        commit: (commit) => whole.commit(commit),
        read: (query) => whole.read(query),
      };
    },
    foundBy: ["S-13"],
  },
  {
    what: "answers a senseless query with nothing",
    change: (store) => ({
      async *read(query) {
        try {
          yield* store.read(query);
        } catch (error) {
          if (!isCadreError(error, "INVALID_OPTION")) throw error;
        }
      },
    }),
    foundBy: ["S-15"],
  },
  {
    what: "never wakes",
    change: () => ({ watch: () => () => {} }),
    foundBy: ["S-16", "S-17"],
  },
  {
    what: "wakes whoever has gone",
    change: (store) => ({
      watch: (wake) => {
        store.watch(wake);
        return () => {};
      },
    }),
    foundBy: ["S-17"],
  },
  {
    what: "overwrites slots",
    change: committing((commit) => ({
      ...commit,
      slots: (commit.slots ?? []).map((slot) => ({ ...slot, expectedVersion: "any" as const })),
    })),
    foundBy: ["S-03", "S-18", "S-19"],
  },
  {
    what: "takes _ in a prefix for any character",
    change: (store) => ({
      slots: async (prefix) => {
        const like = new RegExp(`^${prefix.replaceAll("_", ".")}`);
        return (await store.slots("")).filter(({ name }) => like.test(name));
      },
    }),
    foundBy: ["S-20"],
  },
  {
    what: "lets work that was handled take effect again",
    change: (store) => ({
      commit: async ({ inbox = [], ...commit }) => {
        const marked = new Set((await store.marked(inbox)).map(({ eventId }) => eventId));
        return store.commit({
          ...commit,
          inbox: inbox.filter(({ eventId }) => !marked.has(eventId)),
        });
      },
    }),
    foundBy: ["S-03", "S-21"],
  },
  {
    what: "prunes marks of any age",
    change: (store) => ({ pruneInbox: () => store.pruneInbox(-1_000) }),
    foundBy: ["S-22"],
  },
  {
    what: "hands out events that can be changed",
    change: reading((stored) => ({ ...stored, event: structuredClone(stored.event) })),
    foundBy: ["S-23", "S-24"],
  },
  {
    what: "copies a commit only when it comes to write it",
    change: (store) => ({
      commit: async (commit) => {
        await Promise.resolve();
        return store.commit(commit);
      },
    }),
    foundBy: ["S-24"],
  },
  {
    what: "cuts long texts",
    change: reading((stored) => {
      const text = JSON.stringify(stored.event.payload);
      if (text.length < 65_536) return stored;
      return { ...stored, event: withEvents(stored.event, { text: text.slice(0, 65_536) }) };
    }),
    foundBy: ["S-25"],
  },
  {
    what: "swallows a commit that is not well formed",
    change: forgiving(["INVALID_OPTION", "INVALID_EVENT", "INVALID_TOPIC", "NOT_JSON"]),
    foundBy: ["S-26"],
  },
  {
    what: "puts outbox events into a stream",
    change: committing(({ outbox = [], appends = [], ...rest }) => ({
      ...rest,
      appends: [
        ...appends,
        ...(outbox.length > 0
          ? [{ stream: "$outbox", expectedVersion: "any" as const, events: outbox }]
          : []),
      ],
    })),
    foundBy: ["S-27"],
  },
  { what: "goes on after close", change: () => ({ close: async () => {} }), foundBy: ["S-28"] },
  {
    what: "removes nothing",
    change: committing(({ removals: _removals, ...commit }) => commit),
    foundBy: ["S-31", "S-32", "S-33", "S-37"],
  },
  {
    what: "removes first and checks the commit afterwards",
    change: (store) => ({
      commit: async ({ removals = [], ...commit }) => {
        const place = { stream: "$removals", expectedVersion: "any" as const };
        const gone = removals.filter((position) => Number.isSafeInteger(position) && position > 0);
        if (gone.length > 0) {
          await store.commit({
            appends: [{ ...place, events: [] }],
            removals: gone.slice(0, 1_000),
          });
        }
        return store.commit(commit);
      },
    }),
    foundBy: ["S-33"],
  },
  {
    what: "inspects the first two rows only",
    change: (store) => ({
      async *inspect(range) {
        let left = 2;
        for await (const row of store.inspect(range)) if ((left -= 1) >= 0) yield row;
      },
    }),
    foundBy: ["S-34"],
  },
  {
    what: "restores what it is given as new events",
    change: (store) => ({
      restore: async (rows) => {
        await store.commit({ outbox: rows.map(({ event }) => event) });
        return rows.length;
      },
    }),
    foundBy: ["S-35", "S-36"],
  },
  {
    what: "counts one event too many",
    change: (store) => ({
      usage: async (options) => {
        const usage = await store.usage(options);
        return { ...usage, events: usage.events + 1 };
      },
    }),
    foundBy: ["S-37"],
  },
  {
    what: "answers for its upkeep after close",
    change: (store) => ({ holds: () => store.holds().catch(() => []) }),
    foundBy: ["S-38"],
  },
  { what: "keeps nothing over a restart", change: () => ({}), foundBy: ["S-29"] },
  { what: "shares nothing between connections", change: () => ({}), foundBy: ["S-30"] },
];
