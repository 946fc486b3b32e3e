/** The suite's checks of faults, on a broker's real server with a fault proxy before it. */
import { after, test } from "node:test";
import { systemClock, type Transport } from "cadre";
import { startFaultProxy, transportConformance } from "cadre/testing";
import type { FaultCarrier } from "./fault-carriers.ts";
import { startFaultMember } from "./fault-member.ts";
import { newEvent } from "./fault-tally.ts";
import { fillDisk, mountDisk, onDisk, type SmallDisk } from "./small-disk.ts";

/** T-6, T-24 and T-35 need no proxy; behind one, they meet its breaks, too. */
const checks = ["T-6", "T-24", "T-35", "T-70", "T-71", "T-72", "T-73", "T-74", "T-80"];

/** Registers the checks for one carrier; await it. */
export async function faultSuite(carrier: FaultCarrier): Promise<void> {
  if (carrier.skip !== false) {
    test(`${carrier.name}: the suite with faults`, { skip: carrier.skip }, () => {});
    return;
  }
  const target = { port: 0 };
  const proxy = await startFaultProxy({ target });
  const server = await carrier.start({ advertisedPort: proxy.port });
  target.port = server.port;
  after(async () => {
    await proxy.close();
    await server.stop();
  });
  await transportConformance({
    test,
    createTransport: () => carrier.connect(proxy.port),
    restart: () => server.restart(),
    ...proxy.controls,
    startConsumer: (spec) => startFaultMember(carrier, proxy.port, spec),
    only: checks,
    timeoutMs: 300_000,
  });
  await diskSuite(carrier);
}

async function diskSuite(carrier: FaultCarrier): Promise<void> {
  const disk = mountDisk(carrier.diskMb);
  const excuse = "no file system can be mounted here";
  const server = await onDisk(disk, () => carrier.start());
  after(async () => {
    await server.stop();
    disk?.unmount();
  });
  const connect = (): Transport => carrier.connect(server.port);
  await transportConformance({
    test,
    createTransport: connect,
    only: ["T-77"],
    ...(disk ? { fillDisk: () => fill(disk, connect, () => server.restart()) } : {}),
    ...(disk ? {} : { notApplicable: [{ check: "T-77", reason: excuse }] }),
    timeoutMs: 180_000,
  });
}

/** Fills the disk, and what the server has set aside on it: until it refuses. */
async function fill(
  disk: SmallDisk,
  connect: () => Transport,
  restart: () => Promise<void>,
): Promise<() => Promise<void>> {
  const empty = fillDisk(disk);
  const transport = connect();
  const end = systemClock.monotonic() + 60_000;
  const padding = "x".repeat(100_000);
  for (let refusals = 0; refusals < 3 && systemClock.monotonic() < end;) {
    const event = newEvent(0, padding);
    const [result] = await transport.publish([{ event }]).catch(() => [{ ok: false }]);
    if (!result!.ok) refusals += 1;
  }
  await transport.close();
  return async () => {
    empty();
    await restart(); // some servers end, or take no more until they are started again
  };
}
