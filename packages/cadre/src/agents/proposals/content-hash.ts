import { createHash } from "node:crypto";
import canonicalize from "canonicalize";

import { CadreError, describeError } from "../../core/errors.ts";
import { toFrozenJson } from "../../core/json.ts";

/**
 * `sha256:` and the digest, in hex, of a value's canonical form (RFC 8785): equal values have one
 * hash, in whatever order their members were set.
 *
 * @throws {CadreError} NOT_JSON, also for text with half a surrogate pair, which has no such form
 */
export function contentHash(value: unknown): string {
  const json = toFrozenJson(value);
  let text: string;
  try {
    text = canonicalize(json) ?? "null";
  } catch (error) {
    const message = `The content has no canonical form: ${describeError(error).message}.`;
    throw new CadreError("NOT_JSON", message, { path: "" }, error);
  }
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

/** What the voters of an action are shown, and what their votes name. */
export function actionHash(action: string, content: unknown): string {
  return contentHash({ action, content: content ?? null });
}
