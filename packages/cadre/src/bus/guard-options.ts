import type { Identity } from "./identity/identity.ts";
import type { SignatureOptions } from "./identity/signature-options.ts";
import type { Violation } from "./identity/violation-log.ts";
import type { PermissionOptions } from "./permission-rules.ts";

/** Who a bus is, whom it believes, and who may do what on it. */
export interface GuardOptions {
  /** Signs what this bus publishes as its `source`. @default nothing is signed */
  readonly identity?: Identity;
  /** Keys of others that this process publishes for, by the `source` of their events. */
  readonly identities?: Readonly<Record<string, Identity>>;
  /** Whether signatures of what comes in are checked, and whose keys count. @default off */
  readonly signatures?: SignatureOptions;
  /** Who may publish and subscribe what. @default everybody everything */
  readonly permissions?: PermissionOptions;
  /** Told of violations, in place of `violation.detected` on the bus: to write them elsewhere. */
  readonly onViolation?: (violation: Violation) => void;
}
