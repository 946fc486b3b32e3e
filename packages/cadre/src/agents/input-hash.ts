import { createHash } from "node:crypto";

import { toFrozenJson } from "../core/json.ts";
import { stableJson } from "../core/stable-json.ts";

/** The hash of a step's input; nothing hashes to nothing. Equal inputs hash equally. */
export function hashInput(input: unknown): string {
  if (input === undefined) return "";
  return createHash("sha256")
    .update(stableJson(toFrozenJson(input)))
    .digest("hex")
    .slice(0, 32);
}
