/**
 * `did:key` of the W3C Credentials Community Group (v0.9) for Ed25519: the identifier is the key.
 *
 *   did:key:z6Mk…   =   "did:key:" + multibase "z" + base58btc( 0xed 0x01 + the 32 bytes )
 *
 * A key has one spelling. Points of small order are no keys: one signature of theirs can fit many
 * texts, and libraries differ in whether they take it.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { fromBase58, toBase58 } from "./base58.ts";

const prefix = "did:key:z";
const codec = [0xed, 0x01] as const; // ed25519-pub, as a varint
const keyBytes = 32;
const field = 2n ** 255n - 19n;
const signBit = 2n ** 255n;
// The y of all points whose order divides 8: of the orders 4, 1, 2, and twice 8.
const smallOrder: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  field - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
]);
const maxKnown = 1_000; // keys whose objects are kept; making one takes as long as a check

/** The DID of a raw public key of 32 bytes. */
export function didOfKey(publicKey: Uint8Array): string {
  return prefix + toBase58(Uint8Array.from([...codec, ...publicKey]));
}

/** The raw public key; undefined for what is no `did:key` of an Ed25519 key, written as it must. */
export function keyOfDid(did: string): Uint8Array | undefined {
  if (!did.startsWith(prefix)) return undefined;
  const bytes = fromBase58(did.slice(prefix.length));
  if (bytes?.length !== codec.length + keyBytes) return undefined;
  if (bytes[0] !== codec[0] || bytes[1] !== codec[1]) return undefined;
  const key = bytes.subarray(codec.length);
  return isSound(key) ? key : undefined;
}

function isSound(key: Uint8Array): boolean {
  let number = 0n;
  for (const byte of key.toReversed()) number = number * 256n + BigInt(byte);
  const y = number % signBit;
  return y < field && !smallOrder.has(y);
}

export function isDid(text: string): boolean {
  return text.startsWith("did:");
}

const known = new Map<string, KeyObject>();

/** The key that signatures of a DID are checked with. */
export function publicKeyOfDid(did: string): KeyObject | undefined {
  const found = known.get(did);
  if (found) return found;
  const raw = keyOfDid(did);
  if (!raw) return undefined;
  const x = Buffer.from(raw).toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  if (known.size >= maxKnown) known.delete(known.keys().next().value!);
  known.set(did, key);
  return key;
}
