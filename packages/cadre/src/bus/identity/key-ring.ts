/**
 * Whose keys are whose: which DIDs may sign for a name, from when until when.
 *
 *   trusted ─▶ valid from notBefore ─▶ … ─▶ notAfter ─▶ old: what was taken before then holds
 *                  └──── identity.rotated, signed by a key that is valid ────▶ its successor
 *                  └──── identity.revoked ───────────────────────────────────▶ revoked, for good
 *
 * Two instants are asked about: the one that the signer wrote, and the one at which the carrier
 * took the event. Who has stolen an old key can write what instant he likes, but not when it came.
 */
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { isDid, keyOfDid } from "./did-key.ts";
import { readKeyChange, type KeyRevoked, type KeyRotated } from "./key-change.ts";

/** A key of a name, and when it counts. Instants are Unix milliseconds. */
export interface TrustedKey {
  readonly did: string;
  /** @default always */
  readonly notBefore?: number;
  /** @default never */
  readonly notAfter?: number;
  /** From here on, nothing of it counts. */
  readonly revokedAt?: number;
}

/**
 * The keys of each name that events may come from: agents, teams, buses. Those under `*` may sign
 * for every name, such as the key of a process that runs many agents.
 */
export type TrustedKeys = Readonly<
  Record<string, string | TrustedKey | readonly (string | TrustedKey)[]>
>;

/** The keys of a name, asked at each event: for a directory of the user's own. */
export type TrustLookup = (name: string) => readonly TrustedKey[];

export type KeyVerdict = "trusted" | "forged" | "unknown" | "not_yet_valid" | "expired" | "revoked";

const anyName = "*";
const maxNames = 100_000;
const maxKeysOfName = 100; // a key a day for three months

export class KeyRing {
  readonly #keys = new Map<string, TrustedKey[]>();
  readonly #lookup: TrustLookup | undefined;
  readonly #names = new Map<string, string>();

  /** @throws {CadreError} INVALID_OPTION, for a DID that is no `did:key` of an Ed25519 key */
  constructor(trusted: TrustedKeys | TrustLookup = {}) {
    this.#lookup = typeof trusted === "function" ? trusted : undefined;
    if (typeof trusted === "function") return;
    for (const [name, given] of Object.entries(trusted)) {
      for (const key of Array.isArray(given) ? given : [given]) this.add(name, key);
    }
  }

  /** Trusts a key with a name. One that the name has already stays as it is. */
  add(name: string, given: string | TrustedKey): void {
    const key = typeof given === "string" ? { did: given } : given;
    if (typeof key?.did !== "string" || !keyOfDid(key.did)) {
      const message = `"${key?.did}" is no did:key of an Ed25519 key. It begins with did:key:z6Mk.`;
      throw new CadreError("INVALID_OPTION", message, { option: "trusted", value: name });
    }
    const known = this.#keys.get(name) ?? [];
    if (known.some(({ did }) => did === key.did)) return;
    if (this.#keys.size >= maxNames && !this.#keys.has(name)) {
      const message = `More than ${maxNames} names have keys. Give a function instead.`;
      throw new CadreError("INVALID_OPTION", message, { option: "trusted" });
    }
    this.#keys.set(name, [...known, { ...key }]);
    if (!this.#names.has(key.did)) this.#names.set(key.did, name);
  }

  /** By name, with the keys under `*` last. */
  keysOf(name: string): readonly TrustedKey[] {
    return [
      ...(this.#keys.get(name) ?? []),
      ...(this.#lookup?.(name) ?? []),
      ...(this.#keys.get(anyName) ?? []),
    ];
  }

  /** The name that a DID was first trusted with. */
  nameOf(did: string): string | undefined {
    return this.#names.get(did);
  }

  /** The DIDs that a name has, or has had. */
  didsOf(name: string): readonly string[] {
    return (this.#keys.get(name) ?? []).map(({ did }) => did);
  }

  /**
   * Whether a signer may speak for a source.
   * @param at the event's own instant
   * @param takenAt when the carrier took it
   */
  judge(source: string, signer: string, at: number, takenAt: number): KeyVerdict {
    if (isDid(source) && source !== signer) return "forged";
    const name = isDid(source) ? (this.#names.get(source) ?? source) : source;
    const keys = this.keysOf(name);
    const key = keys.find(({ did }) => did === signer);
    if (!key) return this.#isKnown(name) ? "forged" : "unknown";
    const { notBefore = 0, notAfter = Infinity, revokedAt = Infinity } = key;
    if (at >= revokedAt || takenAt >= revokedAt) return "revoked";
    if (at < notBefore) return "not_yet_valid";
    return at > notAfter || takenAt > notAfter ? "expired" : "trusted";
  }

  /** Whether a name has a key of its own that counts at an instant. */
  hasKeyAt(name: string, at: number): boolean {
    const own = [...(this.#keys.get(name) ?? []), ...(this.#lookup?.(name) ?? [])];
    return own.some(({ notBefore = 0 }) => at >= notBefore);
  }

  #isKnown(name: string): boolean {
    return this.#keys.has(name) || (this.#lookup?.(name).length ?? 0) > 0;
  }

  /**
   * Takes over a change of keys: `identity.rotated` and `identity.revoked`. The event must have
   * been verified; it counts only when a key has signed it that may speak for that very name then.
   *
   * @param signer who signed it
   * @param takenAt when the carrier took it
   * @returns false when it changes nothing
   */
  apply(event: AgentEvent, signer: string, takenAt: number = event.timestamp): boolean {
    const change = readKeyChange(event);
    const keys = change && this.#keys.get(change.agent);
    if (!keys) return false;
    if (this.judge(change.agent, signer, event.timestamp, takenAt) !== "trusted") return false;
    return "to" in change ? this.#rotate(keys, change) : this.#revoke(keys, change);
  }

  #rotate(keys: TrustedKey[], { agent, from, to, at, until }: KeyRotated): boolean {
    if (!keyOfDid(to) || keys.some(({ did }) => did === to)) return false;
    if (!this.#makeRoom(agent, keys, at)) return false;
    const index = keys.findIndex(({ did }) => did === from);
    const old = keys[index];
    if (!old) return false;
    keys[index] = { ...old, notAfter: Math.min(old.notAfter ?? Infinity, until) };
    this.add(agent, { did: to, notBefore: at });
    return true;
  }

  /** For one more: a key that has expired by then is forgotten. */
  #makeRoom(name: string, keys: TrustedKey[], at: number): boolean {
    if (keys.length < maxKeysOfName) return true;
    // What was revoked stays: forgotten, it could be brought in again.
    const isOver = ({ notAfter = Infinity, revokedAt }: TrustedKey): boolean =>
      notAfter < at && revokedAt === undefined;
    const oldest = keys.findIndex(isOver);
    if (oldest === -1) return false;
    for (const { did } of keys.splice(oldest, 1)) {
      if (this.#names.get(did) === name) this.#names.delete(did);
    }
    return true;
  }

  #revoke(keys: TrustedKey[], { did: revoked, at }: KeyRevoked): boolean {
    const index = keys.findIndex(({ did }) => did === revoked);
    const key = keys[index];
    if (!key || (key.revokedAt ?? Infinity) <= at) return false;
    keys[index] = { ...key, revokedAt: at };
    return true;
  }
}
