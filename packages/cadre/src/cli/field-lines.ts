import type { Output } from "./output.ts";
import { harmless, pad, widthOf, wrap } from "./text-width.ts";

/** `name   value` lines; a long value goes on below itself. Fields without a value are left out. */
export function fieldLines(
  output: Output,
  fields: readonly (readonly [name: string, value: string | undefined])[],
): string[] {
  const present = fields.filter(([, value]) => value !== undefined && value !== "");
  const margin = Math.max(0, ...present.map(([name]) => widthOf(name))) + 2;
  return present.map(([name, value = ""]) => {
    const folded = wrap(harmless(value), Math.max(10, output.width - margin));
    const below = folded.replaceAll("\n", `\n${" ".repeat(margin)}`);
    return output.style("dim", pad(name, margin)) + below;
  });
}
