/**
 * The way to a provider, shared by all processes: its rate limit, and the time for which it wants
 * no calls.
 *
 * A provider that says "too many" tells one caller how long to wait; the others would find out one
 * by one. So the instant is a slot that all look at before they call.
 */
import { isCadreError } from "../../core/errors.ts";
import type { TeamContext } from "../team-context.ts";
import { maxPauseMs } from "./provider-errors.ts";

type GateContext = Pick<TeamContext, "store" | "clock" | "random" | "limits">;

const spreadMs = 250; // not all at once when the time is over

export class ProviderGate {
  readonly #context: GateContext;

  constructor(context: GateContext) {
    this.#context = context;
  }

  /** Waits until a call may go out. */
  async pass(limit: string, signal: AbortSignal): Promise<void> {
    const { store, clock, random, limits } = this.#context;
    for (;;) {
      const slot = await store.slot(slotOf(limit));
      const leftMs = slot ? Number(slot.value) - clock.now() : 0;
      if (!(leftMs > 0) || isOfAnotherTime(leftMs)) break;
      await clock.sleep(Math.ceil(leftMs + random.next() * spreadMs), signal);
    }
    await limits.take(limit, 1, { signal });
  }

  /** Nobody calls for so long. */
  async pause(limit: string, ms: number): Promise<void> {
    const { store, clock } = this.#context;
    const until = Math.ceil(clock.now() + Math.min(maxPauseMs, ms));
    const name = slotOf(limit);
    for (;;) {
      const slot = await store.slot(name);
      const setMs = slot ? Number(slot.value) - clock.now() : 0;
      if (slot && Number(slot.value) >= until && !isOfAnotherTime(setMs)) return;
      const expectedVersion = slot?.version ?? 0;
      try {
        await store.commit({ slots: [{ name, expectedVersion, value: String(until) }] });
        return;
      } catch (error) {
        if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      }
    }
  }
}

/** Whether the clock of who set a pause was wrong: nobody sets a longer one. */
const isOfAnotherTime = (ms: number): boolean => ms > maxPauseMs + skewMs;

const skewMs = 60_000; // of clocks that are no worse than usual

const slotOf = (limit: string): string => `pause/${limit}`;

/** The name of a provider's rate limit: `openai.chat` and `openai.responses` are one. */
export function limitOf(provider: string): string {
  return `provider:${provider.split(".")[0] || provider}`;
}
