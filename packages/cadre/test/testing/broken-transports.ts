import { memoryCarrier } from "#src/bus/memory-transport.ts";
import type { AgentEvent } from "#src/core/event.ts";
import type { Intake, Lease, Transport } from "#src/bus/transport.ts";

/** Makes connections to one memory carrier, each changed by `breakIt`. */
export function broken(breakIt: (transport: Transport) => Partial<Transport>): () => Transport {
  const carrier = memoryCarrier();
  return () => {
    const transport = carrier.connect();
    const { name, capabilities, deadLetters } = transport;
    return {
      name,
      capabilities,
      ...(deadLetters && { deadLetters }),
      publish: (batch) => transport.publish(batch),
      open: (spec) => transport.open(spec),
      tap: (listener) => transport.tap!(listener),
      read: (query) => transport.read!(query),
      deleteGroup: (group) => transport.deleteGroup!(group),
      health: () => transport.health!(),
      close: () => transport.close(),
      ...breakIt(transport),
    };
  };
}

function withIntake(
  transport: Transport,
  change: (intake: Intake) => Partial<Intake>,
): Pick<Transport, "open"> {
  return {
    open: async (spec) => {
      const intake = await transport.open(spec);
      const { missed } = intake;
      return {
        pull: (max, signal) => intake.pull(max, signal),
        ...(missed && { missed: () => intake.missed!() }),
        close: () => intake.close(),
        ...change(intake),
      };
    },
  };
}

/** Says that it has taken every event, and forgets every 50th. */
export function forgetful(): () => Transport {
  let count = 0;
  return broken((transport) => ({
    publish: async (batch) => {
      const results = [];
      for (const item of batch) {
        count += 1;
        if (count % 50 === 0) results.push({ ok: true as const });
        else results.push(...(await transport.publish([item])));
      }
      return results;
    },
  }));
}

/** Takes every event twice. */
export function doubling(): () => Transport {
  return broken((transport) => ({
    publish: async (batch) => {
      const results = await transport.publish(batch);
      await transport.publish(batch);
      return results;
    },
  }));
}

/** Tells a late owner that all is well. */
export function unfenced(): () => Transport {
  const lie = (lease: Lease): Lease => ({
    recorded: lease.recorded,
    attempt: lease.attempt,
    settle: async (settlement) => {
      await lease.settle(settlement);
      return "ok";
    },
    extend: async (ms) => {
      await lease.extend(ms);
      return "ok";
    },
  });
  return broken((transport) =>
    withIntake(transport, (intake) => ({
      pull: async (max, signal) => (await intake.pull(max, signal)).map(lie),
    })),
  );
}

/** Never takes a delivery back: its leases don't run out. */
export function unending(): () => Transport {
  return broken((transport) => ({
    open: (spec) => transport.open({ ...spec, leaseMs: 600_000 }),
  }));
}

/** Declares per-key order and keeps none. */
export function unordered(): () => Transport {
  return broken((transport) => ({
    open: (spec) => {
      const { ordered: forgotten, ...rest } = spec;
      return transport.open(forgotten === undefined ? spec : rest);
    },
  }));
}

/** Counts every delivery as the first. */
export function uncounted(): () => Transport {
  return broken((transport) =>
    withIntake(transport, (intake) => ({
      pull: async (max, signal) => {
        const leases = await intake.pull(max, signal);
        return leases.map((lease) => ({
          recorded: lease.recorded,
          attempt: 1,
          settle: (settlement) => lease.settle(settlement),
          extend: (ms) => lease.extend(ms),
        }));
      },
    })),
  );
}

/** Gives more than was asked for. */
export function generous(): () => Transport {
  return broken((transport) =>
    withIntake(transport, (intake) => ({ pull: (max, signal) => intake.pull(max + 3, signal) })),
  );
}

/** Says that it publishes in order, and goes on behind what it refuses. */
export function heedless(): () => Transport {
  const maxBytes = 10_000;
  const isTooLarge = (event: AgentEvent): boolean => JSON.stringify(event).length > maxBytes;
  return broken((transport) => ({
    capabilities: { ...transport.capabilities, maxBytes },
    publishInOrder: async (events) => {
      const fitting = events.filter((event) => !isTooLarge(event));
      const results = (await transport.publish(fitting.map((event) => ({ event })))).values();
      const error = new Error("too large");
      return events.map((event) =>
        isTooLarge(event) ? { ok: false, error } : results.next().value,
      );
    },
  }));
}
