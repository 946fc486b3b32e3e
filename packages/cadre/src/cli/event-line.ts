/** An event on one line: when, what, by whom, and as much of its payload as fits. */
import type { AgentEvent } from "../core/event.ts";
import type { Output } from "./output.ts";
import { fit, harmless, pad, widthOf } from "./text-width.ts";
import { clockText } from "./time-text.ts";

type Style = Parameters<Output["style"]>[0];

const typeColumns = 24; // most types fit; a longer one moves its line to the right
const sourceColumns = 12;
const roomy = 100; // columns from which types and sources stand under each other

/** The line of `event`, no wider than the output. */
export function eventLine(output: Output, event: AgentEvent, now: number): string {
  const wide = output.width >= roomy;
  const time = clockText(event.timestamp, now);
  const type = pad(fit(event.type, output.width), wide ? typeColumns : 0);
  const source = pad(fit(event.source, wide ? 40 : sourceColumns), wide ? sourceColumns : 0);
  const head = `${time}  ${type}  ${source}`;
  const room = output.width - widthOf(head) - 2;
  if (room < 8) return fit(head, output.width);
  const payload = fit(payloadText(event.payload), room);
  return [
    output.style("dim", time),
    output.style(styleOf(event.type), type),
    source,
    output.style("dim", payload),
  ].join("  ");
}

function payloadText(payload: unknown): string {
  return harmless(JSON.stringify(payload) ?? "");
}

const bad = /(?:^|\.)(?:failed|error|rejected|lease_expired|offline|suspected_failure|vetoed)$/;
const good = /(?:^|\.)(?:completed|online|recovered|approved)$/;

function styleOf(type: string): Style {
  if (bad.test(type)) return "red";
  return good.test(type) ? "green" : "cyan";
}
