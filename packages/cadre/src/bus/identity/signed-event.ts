/**
 * Signatures of events.
 *
 *   metadata.signature  =  "cadre1." + DID of the signer + "." + base64url( Ed25519 signature )
 *   what is signed      =  UTF-8 of the canonical form (RFC 8785) of
 *                          { "cadre": "event-signature-1", "signer": DID, id, type, source,
 *                            timestamp, payload, metadata without "signature" }
 *
 * Everything that an event says is covered; no hop changes anything of it, so that whatever is
 * changed was altered. What a carrier adds on its way (positions, attempts, headers of its own)
 * stands beside the event and not in it.
 */
import { verify } from "node:crypto";
import canonicalize from "canonicalize";
import { CadreError, describeError } from "../../core/errors.ts";
import { withMetadata, type AgentEvent } from "../../core/event.ts";
import { publicKeyOfDid } from "./did-key.ts";
import type { Identity } from "./identity.ts";

const format = "cadre1";
const purpose = "event-signature-1"; // a signature made for anything else is none of an event
const signatureBytes = 64;
const maxLength = 512; // of the text; one of an Ed25519 key has 150 letters

/** What a look at a signature alone can say. */
export type SignatureCheck =
  | { readonly valid: true; readonly signer: string }
  | {
      readonly valid: false;
      readonly fault: "unsigned" | "malformed" | "altered";
      /** Who is said to have signed it, where that can be read. */
      readonly signer?: string;
    };

/**
 * The event with a signature of its own, in place of any that it had.
 * @throws {CadreError} NOT_JSON, for text with half a surrogate pair, which has no canonical form
 */
export function signEvent<Event extends AgentEvent>(event: Event, identity: Identity): Event {
  const { did } = identity;
  const signed = identity.sign(Buffer.from(signedText(event, did)));
  const signature = `${format}.${did}.${Buffer.from(signed).toString("base64url")}`;
  return withMetadata(event, { signature });
}

/** Whether the event is what its signer has signed; who may sign for its source is not asked. */
export function checkSignature(event: AgentEvent): SignatureCheck {
  const { signature } = event.metadata;
  if (signature === undefined) return { valid: false, fault: "unsigned" };
  const read = readSignature(signature);
  if (!read) return { valid: false, fault: "malformed" };
  const { signer, bytes } = read;
  const key = publicKeyOfDid(signer);
  if (!key) return { valid: false, fault: "malformed" };
  let text: string;
  try {
    text = signedText(event, signer);
  } catch (error) {
    if (error instanceof CadreError) return { valid: false, fault: "altered", signer };
    throw error;
  }
  const fits = verify(null, Buffer.from(text), key, bytes);
  return fits ? { valid: true, signer } : { valid: false, fault: "altered", signer };
}

/** The signer that an event names; nothing is checked. */
export function signerOf(event: AgentEvent): string | undefined {
  const { signature } = event.metadata;
  return signature === undefined ? undefined : readSignature(signature)?.signer;
}

function readSignature(
  text: string,
): { readonly signer: string; readonly bytes: Uint8Array } | undefined {
  const parts = typeof text === "string" && text.length <= maxLength ? text.split(".") : [];
  const [head, signer, encoded] = parts;
  if (parts.length !== 3 || head !== format || !signer || !encoded) return undefined;
  const bytes = Buffer.from(encoded, "base64url");
  // Base64 has spellings that mean the same; only the one that is written counts.
  if (bytes.length !== signatureBytes || bytes.toString("base64url") !== encoded) return undefined;
  return { signer, bytes };
}

/** The text that is signed. */
export function signedText(event: AgentEvent, signer: string): string {
  const { id, type, source, timestamp, payload } = event;
  const { signature: _own, ...metadata } = event.metadata;
  const signed = { cadre: purpose, signer, id, type, source, timestamp, payload, metadata };
  try {
    return canonicalize(signed) ?? "";
  } catch (error) {
    const message = `Event ${id} has no canonical form: ${describeError(error).message}.`;
    throw new CadreError("NOT_JSON", message, { path: "" }, error);
  }
}
