/** Who signs: an Ed25519 key pair, and the `did:key` that follows from it. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type JsonWebKey,
  type KeyObject,
} from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { CadreError, describeError } from "../../core/errors.ts";
import { didOfKey } from "./did-key.ts";

export interface Identity {
  /** `did:key:z6Mk…`. */
  readonly did: string;
  /** Signs bytes with Ed25519: 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array;
}

export interface CreateIdentityOptions {
  /** 32 bytes from which the key follows, for tests and for keys that are kept elsewhere. */
  readonly seed?: Uint8Array;
}

// What stands before the 32 bytes of a seed in PKCS #8 (RFC 8410, section 7).
const seedPrefix = Buffer.from("302e020100300506032b657004220420", "hex");
const seedBytes = 32;
const ownerOnly = 0o600;
const othersMay = 0o077;

/**
 * A new identity, or that of a seed.
 * @throws {CadreError} INVALID_OPTION, when the seed is not 32 bytes long
 */
export function createIdentity({ seed }: CreateIdentityOptions = {}): Identity {
  if (seed === undefined) return identityOf(generateKeyPairSync("ed25519").privateKey);
  if (!(seed instanceof Uint8Array) || seed.length !== seedBytes) {
    throw badKey("the seed", "it is not 32 bytes long");
  }
  const key = Buffer.concat([seedPrefix, seed]);
  return identityOf(createPrivateKey({ key, format: "der", type: "pkcs8" }));
}

/**
 * The identity of a private key: a text in PEM, a JWK (RFC 8037), or a `KeyObject`.
 * @throws {CadreError} INVALID_OPTION, when it is no private Ed25519 key
 */
export function identityFrom(key: string | JsonWebKey | KeyObject): Identity {
  return identityOf(privateKey(key, "the key"));
}

/**
 * The identity in a file, PEM or JWK. Where there is no file, one is made, which only its owner
 * may read.
 *
 * @throws {CadreError} INVALID_OPTION, when the file holds no private Ed25519 key, or when others
 * than its owner may read it
 */
export function loadIdentity(path: string): Identity {
  const text = readKeyFile(path) ?? makeKeyFile(path);
  const where = `the file ${path}`;
  return identityOf(privateKey(text.trimStart().startsWith("{") ? parsed(text) : text, where));
}

/** The private key in PEM (PKCS #8), for keeping it. Only of an identity that was made here. */
export function exportIdentity(identity: Identity): string {
  const key = keys.get(identity);
  if (!key) throw badKey("the identity", "its key is not here");
  return key.export({ format: "pem", type: "pkcs8" }) as string;
}

// The key is no member: an identity that is printed or sent shows none.
const keys = new WeakMap<Identity, KeyObject>();

function identityOf(key: KeyObject): Identity {
  const { x } = createPublicKey(key).export({ format: "jwk" });
  const identity = Object.freeze({
    did: didOfKey(Buffer.from(x!, "base64url")),
    sign: (bytes: Uint8Array): Uint8Array => sign(null, bytes, key),
  });
  keys.set(identity, key);
  return identity;
}

function privateKey(given: string | JsonWebKey | KeyObject, where: string): KeyObject {
  let key: KeyObject;
  try {
    if (typeof given === "object" && "asymmetricKeyType" in given) key = given as KeyObject;
    else if (typeof given === "string") key = createPrivateKey(given);
    else key = createPrivateKey({ key: given as JsonWebKey, format: "jwk" });
  } catch (error) {
    throw badKey(where, describeError(error).message, error);
  }
  if (key.type === "private" && key.asymmetricKeyType === "ed25519") return key;
  throw badKey(where, `it is a ${key.type} key of type ${key.asymmetricKeyType ?? "unknown"}`);
}

function readKeyFile(path: string): string | undefined {
  try {
    // Elsewhere than on Windows the mode says who may read it.
    const readers = process.platform === "win32" ? 0 : statSync(path).mode & othersMay;
    if (readers === 0) return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw badKey(`the file ${path}`, describeError(error).message, error);
  }
  throw badKey(`the file ${path}`, "others than its owner may read it; chmod 600 it");
}

function makeKeyFile(path: string): string {
  const text = exportIdentity(createIdentity());
  try {
    writeFileSync(path, text, { mode: ownerOnly, flag: "wx" });
    return text;
  } catch (error) {
    // Two processes that start at once: the first one's key is both's.
    const isThere = (error as NodeJS.ErrnoException).code === "EEXIST";
    const made = isThere ? readKeyFile(path) : undefined;
    if (made !== undefined) return made;
    throw badKey(`the file ${path}`, describeError(error).message, error);
  }
}

function parsed(text: string): JsonWebKey {
  try {
    return JSON.parse(text) as JsonWebKey;
  } catch {
    return {}; // refused as any other object that is no key
  }
}

function badKey(where: string, why: string, cause?: unknown): CadreError {
  const message = `No private Ed25519 key can be had from ${where}: ${why}.`;
  return new CadreError("INVALID_OPTION", message, { option: "identity" }, cause);
}
