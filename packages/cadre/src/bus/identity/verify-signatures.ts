/**
 * Looks at the signatures of what is kept: a log, an archive, a history.
 *
 *   whole? ─▶ signed by a key of its source, as keys were then? ─▶ good
 *     └──────────────┴── no ─▶ bad; but "unsigned" where its source has no key
 *
 * Changes of keys count in the order of the log, as they did when they came.
 */
import { blobOf } from "../../core/claim-check.ts";
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { revokedType, rotatedType } from "./key-change.ts";
import { KeyRing, type TrustedKeys, type TrustLookup } from "./key-ring.ts";
import { checkSignature } from "./signed-event.ts";
import { keyFaults, type ViolationRule } from "./violation-log.ts";

/** An event as a store or a transport keeps it. */
export interface KeptEvent {
  readonly position: number | string;
  readonly event: AgentEvent;
  /** When it was taken, in Unix milliseconds. */
  readonly recordedAt: number;
}

export interface VerifySignaturesOptions {
  /** Whose keys are whose. A key ring learns the changes of keys that are found. */
  readonly trusted: TrustedKeys | TrustLookup | KeyRing;
  /** Most bad events that are named; all are counted. @default 100 */
  readonly maxProblems?: number;
  readonly signal?: AbortSignal;
}

export interface SignatureProblem {
  readonly position: number | string;
  readonly id: string;
  readonly type: string;
  readonly source: string;
  /** Who is said to have signed it. */
  readonly signer?: string;
  readonly rule: ViolationRule;
}

export interface SignatureReport {
  /** Whether nothing is bad. */
  readonly ok: boolean;
  readonly good: number;
  /** Without a signature, from sources that had no key when they were taken. */
  readonly unsigned: number;
  /** Whose payloads lie elsewhere, and are not there to be looked at. */
  readonly apart: number;
  readonly bad: number;
  /** The first bad ones, in their order. */
  readonly problems: readonly SignatureProblem[];
}

const defaultMaxProblems = 100;

/**
 * Verifies the signatures of kept events, such as those of `store.read()`. A fold of a store looks
 * at no signature: what was taken into the log counts. This tells what of it nobody has signed.
 *
 * @throws {CadreError} INVALID_OPTION, for a DID that is no `did:key` of an Ed25519 key
 */
export async function verifySignatures(
  kept: AsyncIterable<KeptEvent> | Iterable<KeptEvent>,
  { trusted, maxProblems = defaultMaxProblems, signal }: VerifySignaturesOptions,
): Promise<SignatureReport> {
  const keys = trusted instanceof KeyRing ? trusted : new KeyRing(trusted);
  const counts = { good: 0, unsigned: 0, apart: 0, bad: 0 };
  const problems: SignatureProblem[] = [];
  for await (const each of kept) {
    signal?.throwIfAborted();
    const found = look(each, keys);
    if (typeof found === "string") {
      counts[found] += 1;
      continue;
    }
    counts.bad += 1;
    if (problems.length < maxProblems) problems.push(found);
  }
  return { ok: counts.bad === 0, ...counts, problems };
}

function look(
  { position, event, recordedAt }: KeptEvent,
  keys: KeyRing,
): "good" | "unsigned" | "apart" | SignatureProblem {
  const { id, type, source, timestamp } = event;
  const bad = (rule: ViolationRule, signer?: string): SignatureProblem => {
    return { position, id, type, source, ...(signer === undefined ? {} : { signer }), rule };
  };
  if (blobOf(event) !== undefined) return "apart";
  let checked: ReturnType<typeof checkSignature>;
  try {
    checked = checkSignature(event);
  } catch (error) {
    if (isCadreError(error, "BLOB_MISSING")) return "apart";
    throw error;
  }
  if (!checked.valid) {
    if (checked.fault === "malformed") return bad("malformed_signature");
    if (checked.fault === "altered") return bad("altered", checked.signer);
    return keys.hasKeyAt(source, recordedAt) ? bad("unsigned") : "unsigned";
  }
  const { signer } = checked;
  const verdict = keys.judge(source, signer, timestamp, recordedAt);
  if (verdict !== "trusted") return bad(keyFaults[verdict], signer);
  if (type === rotatedType || type === revokedType) keys.apply(event, signer, recordedAt);
  return "good";
}
