/**
 * Mistakes that a store, a bus or who uses them could have, planted on purpose: each must be found
 * by the simulator. They stand between a process and its ports, so that it can die inside of them.
 */
import type { Commit, EventStore, Transport } from "cadre";
import { changed } from "../changed.ts";

/** An ack before the effect: a delivery is settled as soon as it is there, and handled then. */
export const acksBeforeTheEffect = (transport: Transport): Transport =>
  changed(transport, {
    open: async (spec) => {
      const intake = await transport.open(spec);
      if (spec.mode === "broadcast") return intake;
      return changed(intake, {
        pull: async (max, signal) => {
          const leases = await intake.pull(max, signal);
          const acks = leases.map((lease) => lease.settle({ kind: "ack" }));
          await Promise.allSettled(acks);
          return leases.map((lease) => changed(lease, { settle: async () => "ok" }));
        },
      });
    },
  });

const owners = /^(step\.|task\.(started|progress|completed)$)/;

/** What the owner of a task writes takes effect wherever the task's stream is by now. */
function unfenced(commit: Commit): Commit {
  const appends = (commit.appends ?? []).map((append) => {
    const isOwners = append.events.every(({ type }) => owners.test(type));
    const isClaim = append.events.some(({ type }) => type === "task.claimed");
    return append.stream.startsWith("task/") && isOwners && !isClaim
      ? { ...append, expectedVersion: "any" as const }
      : append;
  });
  return { ...commit, appends };
}

/** A lease without fencing: claims are exclusive, but a late owner's results are taken. */
export const leasesWithoutFencing = (store: EventStore): EventStore =>
  changed(store, { commit: (commit) => store.commit(unfenced(commit)) });

/** A checkpoint written apart from its rows: first the rows, then where they are. */
export const checkpointsApart = (store: EventStore): EventStore =>
  changed(store, {
    commit: async ({ slots = [], ...rest }) => {
      const places = slots.filter(({ name }) => name.endsWith("/checkpoint"));
      if (places.length === 0) return store.commit({ ...rest, slots });
      const rows = slots.filter((slot) => !places.includes(slot));
      const answer = await store.commit({ ...rest, slots: rows });
      await store.commit({ slots: places });
      return answer;
    },
  });

/** The mistake that everything is built against: a writer does not notice that it is late. */
export const withoutVersions = (store: EventStore): EventStore =>
  changed(store, {
    commit: ({ appends = [], ...rest }) => {
      const blind = appends.map((append) => ({ ...append, expectedVersion: "any" as const }));
      return store.commit({ ...rest, appends: blind });
    },
  });

/** A store that forgets what was handled. */
export const withoutInbox = (store: EventStore): EventStore =>
  changed(store, {
    commit: ({ inbox: _inbox, ...commit }) => store.commit(commit),
    marked: async () => [],
  });

/** A reader that never sees events of one type. */
export const withoutType =
  (type: string) =>
  (store: EventStore): EventStore =>
    changed(store, {
      async *read(query) {
        for await (const stored of store.read(query)) if (stored.event.type !== type) yield stored;
      },
    });
