/** The checks that need controls of the carrier, on a memory carrier whose faults are played. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memory, memoryCarrier } from "#src/bus/memory-transport.ts";
import type { Lease, Outgoing, PublishResult, Transport } from "#src/bus/transport.ts";
import { CadreError } from "#src/core/errors.ts";
import type { CarrierControls } from "#src/testing/conformance-check.ts";
import { transportConformance } from "#src/testing/transport-conformance.ts";

type Publish = Transport["publish"];

/** A carrier whose publishes go through `fault` while it is set. */
function faultyCarrier(): {
  createTransport: () => Transport;
  set: (
    fault: ((publish: Publish, batch: readonly Outgoing[]) => ReturnType<Publish>) | undefined,
  ) => void;
  carrier: ReturnType<typeof memoryCarrier>;
} {
  const carrier = memoryCarrier();
  let fault: Parameters<ReturnType<typeof faultyCarrier>["set"]>[0];
  const createTransport = (): Transport => {
    const inner = carrier.connect();
    const publish: Publish = (batch) => inner.publish(batch);
    return {
      name: "played",
      capabilities: inner.capabilities,
      publish: (batch) => (fault ? fault(publish, batch) : publish(batch)),
      open: (spec) => inner.open(spec),
      close: () => inner.close(),
    };
  };
  return { createTransport, set: (next) => (fault = next), carrier };
}

async function outcomeOf(
  id: string,
  createTransport: () => Transport,
  controls: CarrierControls,
): Promise<string> {
  const tests: (() => Promise<void>)[] = [];
  const report = await transportConformance({
    test: (_, run) => tests.push(run),
    createTransport,
    only: [id],
    leaseMs: 50,
    boundMs: 1_000,
    ...controls,
  });
  await Promise.allSettled(tests.map((run) => run()));
  const [result] = report.results;
  return result?.reason === undefined ? result!.outcome : `${result.outcome}: ${result.reason}`;
}

const full = (): CadreError<"STORE_FULL"> =>
  new CadreError("STORE_FULL", "The disk is full.", { path: "played" });

test("a full disk that refuses passes, one that keeps what it refused is caught", async () => {
  for (const keeps of [false, true]) {
    const { createTransport, set } = faultyCarrier();
    const fillDisk = async (): Promise<() => Promise<void>> => {
      set(async (publish, batch) => {
        if (keeps) await publish(batch);
        return batch.map((): PublishResult => ({ ok: false, error: full() }));
      });
      return async () => set(undefined);
    };
    const result = await outcomeOf("T-77", createTransport, { fillDisk });
    assert.equal(result === "passed", !keeps, result);
  }
});

test("a dead connection that fails typed passes, an untyped failure is caught", async () => {
  for (const isTyped of [true, false]) {
    const { createTransport, set } = faultyCarrier();
    const freeze = async (): Promise<() => Promise<void>> => {
      const details = { what: "publish", timeoutMs: 10 };
      const error = isTyped ? new CadreError("TIMEOUT", "No answer.", details) : new Error("no");
      set(() => Promise.reject(error));
      return async () => set(undefined);
    };
    const result = await outcomeOf("T-72", createTransport, { freeze });
    assert.equal(result === "passed", isTyped, result);
  }
});

test("a slow carrier passes when it answers", async () => {
  const { createTransport, set } = faultyCarrier();
  const slow = async (): Promise<() => Promise<void>> => {
    set(async (publish, batch) => {
      await new Promise((resolve) => setImmediate(resolve));
      return publish(batch);
    });
    return async () => set(undefined);
  };
  assert.equal(await outcomeOf("T-73", createTransport, { slow }), "passed");
});

test("what a killed consumer held comes back", async () => {
  const { createTransport, carrier } = faultyCarrier();
  const startConsumer: NonNullable<CarrierControls["startConsumer"]> = async (spec) => {
    const transport = carrier.connect();
    const intake = await transport.open(spec);
    const held: Lease[] = [];
    const pull = async (): Promise<void> => {
      for (;;) {
        const leases = await intake.pull(10, new AbortController().signal);
        if (leases.length === 0) return;
        held.push(...leases);
      }
    };
    const pulling = pull();
    return {
      held: async () => held.length,
      kill: async () => {
        await intake.close(); // its leases stay until they run out, as a killed process's do
        await pulling;
      },
    };
  };
  assert.equal(await outcomeOf("T-74", createTransport, { startConsumer }), "passed");
});

test("without its control a check says what is missing", async () => {
  const result = await outcomeOf("T-77", () => memory(), {});
  assert.equal(result, "not applicable: the caller gave no way to fill the disk (`fillDisk`)");
});
