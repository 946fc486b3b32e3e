/** What checks ask of a carrier's capabilities, and that the bus refuses what is not declared. */
import assert from "node:assert/strict";
import { isCadreError } from "../core/errors.ts";
import type { Capabilities, OnRetry } from "../bus/transport.ts";
import type { CheckContext, Refusable, Undeclared } from "./conformance-check.ts";

type Needs = (capabilities: Capabilities) => Undeclared | undefined;

export const needsHistory: Needs = ({ history }) =>
  history === "none" ? { reason: "the carrier keeps no history", refused: "history" } : undefined;

export const needsDelayedPublish: Needs = ({ delayedPublish }) =>
  delayedPublish ? undefined : { reason: "the carrier delays no events", refused: "deliverAt" };

/** Needs one of these modes of order by key. */
export function needsOrder(...modes: readonly [OnRetry, ...OnRetry[]]): Needs {
  return ({ keyOrder }) => {
    if (modes.some((mode) => keyOrder.includes(mode))) return undefined;
    const reason = `the carrier declares no ${modes.join(" or ")} order`;
    return { reason, refused: `ordered ${modes[0]}` };
  };
}

/** Fails the check when what is `refused` is taken, instead of refused with UNSUPPORTED. */
export async function assertRefused(context: CheckContext, refused: Refusable): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("refused");
  const ask = async (): Promise<unknown> => {
    if (refused === "deliverAt") {
      return bus.publish(type, {}, { deliverAt: context.clock.now() + 60_000 });
    }
    if (refused === "history") return Array.fromAsync(bus.history({ type }));
    const ordered = refused.slice("ordered ".length) as OnRetry;
    return bus.subscribe(type, { group: context.group(), ordered }, () => {});
  };
  await assert.rejects(
    ask,
    (error: unknown) => isCadreError(error, "UNSUPPORTED"),
    `${refused} is not declared, and must be refused with UNSUPPORTED`,
  );
}
