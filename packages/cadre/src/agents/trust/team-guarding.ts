/** Identity and permissions of one running team. */
import { createHash } from "node:crypto";
import type { GuardOptions } from "../../bus/guard-options.ts";
import { KeyRing } from "../../bus/identity/key-ring.ts";
import type { Violation } from "../../bus/identity/violation-log.ts";
import { signEvent } from "../../bus/identity/signed-event.ts";
import type { Subscription } from "../../bus/subscription.ts";
import { createEvent } from "../../core/event.ts";
import { isCadreError } from "../../core/errors.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { CadreOptions } from "../cadre.ts";
import type { OpenContext } from "../open-url.ts";
import type { TeamContext } from "../team-context.ts";
import { violationStream } from "./trust-fold.ts";

/** What the team's bus and its runtime are guarded with; nothing where nothing is on. */
export function teamGuarding(
  options: CadreOptions,
  name: string,
  store: EventStore,
  host: OpenContext,
): GuardOptions {
  const { identity, signatures, permissions, agents = [] } = options;
  const identities = Object.fromEntries(
    agents.flatMap((agent) => (agent.identity ? [[agent.name, agent.identity]] : [])),
  );
  const isOn = identity || signatures || permissions || Object.keys(identities).length > 0;
  if (!isOn) return {};
  const given = signatures?.trusted;
  const trusted = given instanceof KeyRing ? given : new KeyRing(given);
  // This process speaks for its agents and for the people that answer through it.
  if (identity) trusted.add("*", identity.did);
  return {
    ...(identity ? { identity } : {}),
    identities,
    signatures: { mode: "off", ...signatures, ...modeOf(signatures), trusted },
    ...(permissions
      ? { permissions: { ...permissions, exempt: [name, ...list(permissions.exempt)] } }
      : {}),
    onViolation: (violation) => void record(store, host, name, identity, violation),
  };
}

function modeOf(signatures: CadreOptions["signatures"]): { mode?: "off" | "warn" | "require" } {
  return signatures ? { mode: signatures.mode ?? "require" } : {};
}

/** The changes of keys that the log holds, in their order, each checked against those before it. */
export async function learnKeys({ store, guard, name }: TeamContext): Promise<void> {
  if (!guard) return;
  for await (const { event, recordedAt } of store.read({ type: "identity.#" })) {
    guard.shows(name, event, recordedAt);
  }
}

const watched = [
  "identity.#",
  "task.claimed",
  "task.completed",
  "action.voted",
  "validation.responded",
] as const;

/**
 * Looks at what nobody here may be listening to: changes of keys, and claims, results and votes of
 * who may not make them. Looking is what the bus does with everything that comes to a subscription.
 */
export async function watchOver({ bus, guard }: TeamContext): Promise<readonly Subscription[]> {
  if (!guard) return [];
  const [first, ...also] = watched;
  return [await bus.subscribe(first, { also, name: "guard" }, () => undefined)];
}

/** Writes a violation into the log: once, however many processes have seen it. */
async function record(
  store: EventStore,
  { clock, random, logger }: OpenContext,
  name: string,
  identity: CadreOptions["identity"],
  violation: Violation,
): Promise<void> {
  const id = `violation/${violation.rule}/${fingerprint(violation, clock.now())}`;
  const payload = { ...violation, detectedBy: name };
  try {
    const made = createEvent({ clock, random, source: name }, "violation.detected", payload, {
      id,
    });
    const event = identity ? signEvent(made, identity) : made;
    const append = { stream: violationStream, expectedVersion: "any", events: [event] } as const;
    await store.commit({ appends: [append] });
  } catch (error) {
    if (isCadreError(error, "DUPLICATE_ID")) return;
    logger.warn("A violation could not be written.", { rule: violation.rule, error });
  }
}

const dayMs = 86_400_000; // what comes again on another day is on record again

/**
 * Of what all processes see alike. An id of the event alone would not do: a forger chooses it, and
 * could be on record with one for all.
 */
function fingerprint({ rule, evidence }: Violation, now: number): string {
  const { eventId, type, source, signer = "" } = evidence;
  const seen = JSON.stringify([rule, eventId, type, source, signer, Math.floor(now / dayMs)]);
  return createHash("sha256").update(seen).digest("base64url");
}

function list<Item>(items: readonly Item[] = []): readonly Item[] {
  return items;
}
