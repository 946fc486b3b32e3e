/** The guard of a bus, made from its options. */
import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { anything, checkOptions, oneOf, wholeNumber } from "../core/options.ts";
import type { GuardOptions } from "./guard-options.ts";
import { Guard } from "./guard.ts";
import type { Identity } from "./identity/identity.ts";
import { KeyRing } from "./identity/key-ring.ts";
import type { Violation } from "./identity/violation-log.ts";
import { Permissions } from "./permissions.ts";

const rememberIds = 10_000; // at 1,000 events a second, ten seconds of replays

/**
 * The guard that the options ask for, if any.
 * @param say tells of a violation
 * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN
 */
export function guardOf(
  options: GuardOptions,
  source: string,
  clock: Clock,
  say: (violation: Violation) => void,
): Guard | undefined {
  const { identity, identities = {}, signatures, permissions } = options;
  if (!identity && Object.keys(identities).length === 0 && !signatures && !permissions) {
    return undefined;
  }
  checkOptions("signatures", signatures ?? {}, {
    mode: oneOf("off", "warn", "require"),
    trusted: anything,
    freshMs: wholeNumber(1),
    rememberIds: wholeNumber(1, 10_000_000),
  });
  const trusted = signatures?.trusted;
  const keys = trusted instanceof KeyRing ? trusted : new KeyRing(trusted);
  if (identity) keys.add(source, checked(identity, "identity").did);
  for (const [name, each] of Object.entries(identities)) {
    keys.add(name, checked(each, `identities.${name}`).did);
  }
  return new Guard({
    clock,
    mode: signatures ? (signatures.mode ?? "require") : "off",
    source,
    identity,
    identities: new Map(Object.entries(identities)),
    keys,
    freshMs: signatures?.freshMs,
    rememberIds: signatures?.rememberIds ?? rememberIds,
    permissions: permissions && new Permissions(permissions, keys),
    say,
  });
}

function checked(identity: Identity, option: string): Identity {
  if (typeof identity?.did === "string" && typeof identity.sign === "function") return identity;
  const message = `Option "${option}" is no identity. Make one with createIdentity().`;
  throw new CadreError("INVALID_OPTION", message, { option });
}
