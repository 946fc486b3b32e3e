/** An event on one line: when, what, by whom, and as much of its payload as fits. */
import type { AgentEvent } from "../core/event.ts";
import type { Output } from "./output.ts";
import { fit, harmless, pad, widthOf } from "./text-width.ts";
import { clockText } from "./time-text.ts";

type Style = Parameters<Output["style"]>[0];

const roomy = 100; // columns from which there is room for milliseconds and long types
const columnsOf = (width: number): { readonly type: number; readonly source: number } =>
  width >= roomy ? { type: 24, source: 12 } : { type: 16, source: 10 };

/** The line of `event`, no wider than the output. A long type moves the rest to the right. */
export function eventLine(
  output: Pick<Output, "width" | "style">,
  event: AgentEvent,
  now: number,
): string {
  const columns = columnsOf(output.width);
  const precise = output.width >= roomy;
  const time = clockText(event.timestamp, now, precise);
  const type = pad(fit(event.type, output.width), columns.type);
  const source = pad(precise ? fit(event.source, 40) : fit(event.source, 12), columns.source);
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
