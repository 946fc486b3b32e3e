import { createHash } from "node:crypto";
import { prelude } from "./lua-prelude.ts";

/** A script that the server runs as one step. */
export interface Script {
  readonly text: string;
  /** What the server knows it by. */
  readonly digest: string;
}

export function defineScript(body: string): Script {
  const text = `${prelude}${body}`;
  return { text, digest: createHash("sha1").update(text).digest("hex") };
}
