/**
 * The guard of one bus: signs what is made here, and lets in what may come in.
 *
 *   out   made ─▶ may its source publish this? ─▶ tenant of its source ─▶ signed
 *   in    whole? ─▶ signed by a key of its source? ─▶ fresh? ─▶ may its source publish this?
 *           └───────────────┴─── no ──▶ violation.detected, and rejected unless the mode is warn
 *
 * There is none where neither signatures nor permissions are on: then nothing is asked.
 */
import type { Clock } from "../core/clock.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import { withMetadata, type AgentEvent } from "../core/event.ts";
import { toFrozenJson } from "../core/json.ts";
import type { PublishOptions } from "./bus.ts";
import type { Identity } from "./identity/identity.ts";
import type { KeyRing } from "./identity/key-ring.ts";
import { revokedType, rotatedType } from "./identity/key-change.ts";
import { SeenIds } from "./identity/seen-ids.ts";
import { checkSignature, signEvent, type SignatureCheck } from "./identity/signed-event.ts";
import {
  keyFaults,
  ViolationLog,
  type Violation,
  type ViolationRule,
} from "./identity/violation-log.ts";
import type { Permissions } from "./permissions.ts";

export interface GuardParts {
  readonly clock: Clock;
  readonly mode: "off" | "warn" | "require";
  /** The bus's own name, and its key. */
  readonly source: string;
  readonly identity: Identity | undefined;
  /** Keys of others that this process speaks for, by name. */
  readonly identities: ReadonlyMap<string, Identity>;
  readonly keys: KeyRing;
  readonly freshMs: number | undefined;
  readonly rememberIds: number;
  readonly permissions: Permissions | undefined;
  readonly say: (violation: Violation) => void;
}

export class Guard {
  readonly #parts: GuardParts;
  readonly #violations: ViolationLog;
  // Frozen all the way down, so what was signed here needs no second look on its way through here.
  readonly #own = new WeakSet<AgentEvent>();
  readonly #identities: Map<string, Identity>;

  constructor(parts: GuardParts) {
    this.#parts = parts;
    this.#identities = new Map(parts.identities);
    this.#violations = new ViolationLog(parts.clock, parts.say);
  }

  get keys(): KeyRing {
    return this.#parts.keys;
  }

  get permissions(): Permissions | undefined {
    return this.#parts.permissions;
  }

  /** Events that broke a rule, said or not. */
  get violations(): number {
    return this.#violations.count;
  }

  /** Whether this process can speak for a name. */
  speaksFor(name: string): boolean {
    return this.#identityOf(name) !== undefined || this.#parts.mode === "off";
  }

  /** Speaks for one more name, from now on. */
  speakAs(name: string, identity: Identity): void {
    this.#parts.keys.add(name, identity.did);
    this.#identities.set(name, identity);
  }

  /** Whether what is said in a name can be signed, or needn't be. */
  canSign(name: string): boolean {
    return this.#parts.mode !== "require" || this.#keyFor(name) !== undefined;
  }

  /** Whether all must sign, and nobody here can. */
  get isMute(): boolean {
    const { mode, identity } = this.#parts;
    return mode === "require" && !identity && this.#identities.size === 0;
  }

  /**
   * A finished event of this process's own, as it may be published: signed, if it is not yet.
   * @param identity signs in place of the key for its source
   * @throws {CadreError} FORBIDDEN, when its source may not say it
   * @throws {CadreError} SIGNATURE_REJECTED, where all must sign, and no key here is its source's
   */
  vouch(
    event: AgentEvent,
    identity: Identity | undefined = this.#keyFor(event.source),
  ): AgentEvent {
    const isFinished = event.metadata.signature !== undefined;
    const placed = isFinished ? event : this.#inTenant(event);
    const refusal = this.#parts.permissions?.refusalOf(placed);
    if (refusal) throw refusal.error;
    if (isFinished || (!identity && this.#parts.mode !== "require")) return placed;
    if (!identity) throw rejected(placed, "unsigned", undefined);
    const { keys, clock, mode } = this.#parts;
    const verdict = keys.judge(event.source, identity.did, event.timestamp, clock.now());
    // Whoever gets it would say the same, but nobody would look there.
    if (mode === "require" && verdict !== "trusted") {
      throw rejected(placed, keyFaults[verdict], identity.did);
    }
    return signEvent(placed, identity);
  }

  /**
   * What a publisher may say, with the tenant that its source belongs to.
   * @throws {CadreError} FORBIDDEN
   */
  permit(source: string, type: string, options: PublishOptions): PublishOptions {
    const { permissions } = this.#parts;
    if (!permissions) return options;
    const inherited = options.tenant ?? options.cause?.metadata.tenant;
    const tenant = permissions.tenantFor(source, inherited);
    permissions.assertMay(source, "publish", type, tenant);
    return tenant === inherited || tenant === undefined ? options : { ...options, tenant };
  }

  /** The options of what the bus says for itself: no right is asked for, but walls stand. */
  own(source: string, options: PublishOptions): PublishOptions {
    const tenant = this.#parts.permissions?.tenantOf(source);
    return tenant === undefined || tenant === "*" ? options : { ...options, tenant };
  }

  /** The event with the signature of its source, where its key is here. */
  seal(event: AgentEvent): AgentEvent {
    const identity = this.#keyFor(event.source);
    const sealed = identity ? signEvent(event, identity) : event;
    // Where all must sign, an event without a signature is looked at like a stranger's.
    if (identity || this.#parts.mode !== "require") this.#own.add(sealed);
    return sealed;
  }

  /**
   * For an event that middleware has changed: signed again, if it was made here.
   * @throws {CadreError} FORBIDDEN, when its source may not say what it is now
   */
  reseal(before: AgentEvent, after: AgentEvent): AgentEvent {
    if (!this.#own.has(before)) return after;
    const refusal = this.#parts.permissions?.refusalOf(after);
    if (refusal) throw refusal.error;
    return this.seal(after);
  }

  /** What the runtime of an agent writes in its name: of its tenant, where it says none. */
  sealFor(event: AgentEvent): AgentEvent {
    return this.seal(this.#inTenant(event));
  }

  /**
   * Whether it may be handed to `who`.
   * @param takenAt when a log took it; absent for what a bus has let in. That is not looked at
   * again: brought to a newer version, it is no longer what was signed
   */
  shows(who: string, event: AgentEvent, takenAt: number | undefined): boolean {
    const { permissions } = this.#parts;
    try {
      const { type, metadata } = takenAt === undefined ? event : this.check(event, takenAt);
      return permissions?.may(who, "subscribe", type, metadata.tenant) ?? true;
    } catch (error) {
      if (isCadreError(error, "SIGNATURE_REJECTED") || isCadreError(error, "FORBIDDEN")) {
        return false;
      }
      throw error;
    }
  }

  /**
   * The event, if it may come in.
   * @param takenAt when the carrier took it; now unless given
   * @throws {CadreError} SIGNATURE_REJECTED | FORBIDDEN
   */
  check(event: AgentEvent, takenAt: number = this.#parts.clock.now()): AgentEvent {
    const { mode } = this.#parts;
    if (this.#own.has(event)) return event;
    const whole = copyOf(event);
    const signed: SignatureCheck = mode === "off" ? unasked : checkSignature(whole);
    const fault = mode === "off" ? undefined : this.#faultOf(whole, signed, takenAt);
    if (fault) {
      this.#report(whole, fault, signed.signer, mode === "require");
      if (mode === "require") throw rejected(whole, fault, signed.signer);
    } else if (signed.valid && (whole.type === rotatedType || whole.type === revokedType)) {
      this.#parts.keys.apply(whole, signed.signer, takenAt);
    }
    this.#assertPermitted(whole, signed.signer);
    return whole;
  }

  /**
   * For one subscription that has no memory of what it has handled: the function throws at an id
   * that it has had before.
   */
  once(): (event: AgentEvent) => void {
    const { mode, rememberIds } = this.#parts;
    if (mode === "off") return () => {};
    const seen = new SeenIds(rememberIds);
    return (event) => {
      // With its source: an id alone could be taken by somebody else, to keep this event away.
      if (seen.add(`${event.source} ${event.id}`)) return;
      this.#report(event, "replayed", undefined, mode === "require");
      if (mode === "require") throw rejected(event, "replayed", undefined);
    };
  }

  #inTenant(event: AgentEvent): AgentEvent {
    const tenant = this.#parts.permissions?.tenantOf(event.source);
    const isOpen = tenant === undefined || tenant === "*" || event.metadata.tenant !== undefined;
    return isOpen ? event : withMetadata(event, { tenant });
  }

  /** What is said in a name is signed with its own key, or else with the process's. */
  #keyFor(source: string): Identity | undefined {
    return this.#identityOf(source) ?? this.#parts.identity;
  }

  #identityOf(source: string): Identity | undefined {
    const { identity } = this.#parts;
    if (identity && (source === this.#parts.source || source === identity.did)) return identity;
    const named = this.#identities.get(source);
    if (named || !source.startsWith("did:")) return named;
    return [...this.#identities.values()].find(({ did }) => did === source);
  }

  #faultOf(event: AgentEvent, signed: SignatureCheck, takenAt: number): ViolationRule | undefined {
    if (!signed.valid) return signed.fault === "malformed" ? "malformed_signature" : signed.fault;
    const { keys, freshMs } = this.#parts;
    const verdict = keys.judge(event.source, signed.signer, event.timestamp, takenAt);
    if (verdict !== "trusted") return keyFaults[verdict];
    if (freshMs === undefined) return undefined;
    const due = Math.max(event.timestamp, event.metadata.deliverAt ?? 0);
    const isFresh = takenAt - due <= freshMs && event.timestamp - takenAt <= freshMs;
    return isFresh ? undefined : "stale";
  }

  #assertPermitted(event: AgentEvent, signer: string | undefined): void {
    const refusal = this.#parts.permissions?.refusalOf(event);
    if (!refusal) return;
    this.#report(event, refusal.rule, signer, true);
    throw refusal.error;
  }

  #report(
    event: AgentEvent,
    rule: ViolationRule,
    signer: string | undefined,
    rejects: boolean,
  ): void {
    // News of violations that are violations themselves would feed each other.
    if (quiet.has(event.type)) return;
    const [eventId, type, source] = [short(event.id), short(event.type), short(event.source)];
    const of = signer === undefined ? {} : { signer: short(signer) };
    this.#violations.report({
      agent: source,
      rule,
      severity: rejects ? "error" : "warning",
      evidence: { eventId, type, source, ...of, rejected: rejects },
    });
  }
}

const maxTold = 200; // letters of a text that a forger has written

function short(text: unknown): string {
  return String(text).slice(0, maxTold);
}

const quiet: ReadonlySet<string> = new Set(["violation.detected", "error"]);

const unasked: SignatureCheck = { valid: false, fault: "unsigned" };

/** What is looked at must be what is handed over: a copy that nobody else holds. */
function copyOf({ id, type, source, timestamp, payload, metadata }: AgentEvent): AgentEvent {
  const whole = toFrozenJson({ id, type, source, timestamp, payload, metadata });
  return whole as unknown as AgentEvent; // member by member the same
}

const meanings: Readonly<Record<ViolationRule, string>> = {
  unsigned: "it bears no signature",
  malformed_signature: "its signature cannot be read",
  altered: "its signature is of something else: the event was altered",
  forged: "it was signed with a key that is not its source's",
  unknown_signer: "no key of its source is known",
  key_not_yet_valid: "its key is not valid yet",
  key_expired: "its key is valid no more",
  key_revoked: "its key was revoked",
  stale: "it is too old to be new",
  replayed: "it was here before",
  forbidden: "its source may not publish it",
  foreign_tenant: "its source is of another tenant",
};

function rejected(
  { id, type, source }: AgentEvent,
  rule: ViolationRule,
  signer: string | undefined,
): CadreError<"SIGNATURE_REJECTED"> {
  const message = `Event ${id} (${type}) from "${source}" is not let in: ${meanings[rule]}.`;
  const of = signer === undefined ? {} : { signer };
  return new CadreError("SIGNATURE_REJECTED", message, { id, type, source, rule, ...of });
}
