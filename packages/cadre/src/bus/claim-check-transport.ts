import { ClaimCheck, type ClaimCheckOptions } from "../core/claim-check.ts";
import type { UnitOfWork } from "../core/commit.ts";
import type {
  DeadLetter,
  DeadLetterBox,
  Intake,
  Lease,
  PublishResult,
  Recorded,
  Transport,
} from "./transport.ts";

/**
 * A transport whose large payloads lie in a blob store that all processes of the bus share. An
 * event is published when its payload is safe there. A delivery whose blob is missing becomes a
 * dead letter that says so and can be redriven; in a history, looking at the payload throws
 * BLOB_MISSING.
 *
 * Dead letters keep references, too. Closing it closes the transport.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function claimCheckTransport(transport: Transport, options: ClaimCheckOptions): Transport {
  const check = new ClaimCheck(options);
  const carried = new WeakMap<Lease, Lease>();
  const { deadLetters, unitOfWork } = transport;
  const read = transport.read?.bind(transport);
  const groups = transport.groups?.bind(transport);
  const deleteGroup = transport.deleteGroup?.bind(transport);
  const health = transport.health?.bind(transport);
  // No `tap`: a payload is not there at once, so that broadcasts read as in any other process.
  return {
    name: transport.name,
    capabilities: transport.capabilities,
    publish: async (batch) => {
      const items = await Promise.allSettled(
        batch.map(async (item) => ({ ...item, event: await check.toReference(item.event) })),
      );
      const kept = items.flatMap((item) => (item.status === "fulfilled" ? [item.value] : []));
      const results = (await transport.publish(kept)).values();
      return items.map((item): PublishResult =>
        item.status === "fulfilled" ? results.next().value! : { ok: false, error: item.reason },
      );
    },
    open: async (spec) => checkIntake(await transport.open(spec), check, carried),
    ...(read && {
      read: async function* (query) {
        for await (const recorded of read(query)) {
          const { event } = recorded;
          yield event ? { ...recorded, event: await check.toPayloadOrError(event) } : recorded;
        }
      },
    }),
    ...(deadLetters && { deadLetters: checkLetters(deadLetters, check) }),
    ...(unitOfWork && { unitOfWork: checkWork(unitOfWork, check, carried) }),
    ...(groups && { groups }),
    ...(deleteGroup && { deleteGroup }),
    ...(health && { health }),
    close: () => transport.close(),
  };
}

function checkIntake(intake: Intake, check: ClaimCheck, carried: WeakMap<Lease, Lease>): Intake {
  const missed = intake.missed?.bind(intake);
  return {
    pull: async (max, signal) => {
      const leases = await intake.pull(max, signal);
      return Promise.all(
        leases.map(async (lease): Promise<Lease> => {
          const whole: Lease = {
            recorded: await toDelivery(lease.recorded, check),
            attempt: lease.attempt,
            settle: (settlement) => lease.settle(settlement),
            extend: (ms) => lease.extend(ms),
          };
          carried.set(whole, lease);
          return whole;
        }),
      );
    },
    ...(missed && { missed }),
    close: () => intake.close(),
  };
}

async function toDelivery(recorded: Recorded, check: ClaimCheck): Promise<Recorded> {
  const { event, position, recordedAt } = recorded;
  if (!event) return recorded;
  try {
    const whole = await check.toPayload(event);
    return whole === event ? recorded : { ...recorded, event: whole };
  } catch (error) {
    // A folder that is away, a disk that fails: a dead letter tells, and is redriven afterwards.
    const reason = error instanceof Error ? error.message : String(error);
    const bytes = Buffer.from(JSON.stringify(event));
    return { position, recordedAt, event, undecodable: { bytes, reason } };
  }
}

function checkWork(
  unitOfWork: UnitOfWork<Lease>,
  check: ClaimCheck,
  carried: WeakMap<Lease, Lease>,
): UnitOfWork<Lease> {
  return {
    settles: unitOfWork.settles,
    ...(unitOfWork.log === undefined ? {} : { log: unitOfWork.log }),
    commit: async ({ commit, lease }) => {
      const inner = carried.get(lease) ?? lease;
      return unitOfWork.commit({ commit: await check.toReferences(commit), lease: inner });
    },
    handled: (subscription, eventIds) => unitOfWork.handled(subscription, eventIds),
  };
}

function checkLetters(box: DeadLetterBox, check: ClaimCheck): DeadLetterBox {
  const whole = async (letter: DeadLetter): Promise<DeadLetter> => {
    if (!letter.event) return letter;
    return { ...letter, event: await check.toPayloadOrError(letter.event) };
  };
  return {
    put: async (letter) =>
      box.put(letter.event ? { ...letter, event: await check.toReference(letter.event) } : letter),
    get: async (id) => {
      const letter = await box.get(id);
      return letter && whole(letter);
    },
    list: async function* (query) {
      for await (const letter of box.list(query)) yield whole(letter);
    },
    remove: (id) => box.remove(id),
  };
}
