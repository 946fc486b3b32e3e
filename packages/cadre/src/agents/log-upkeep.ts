/** What looks after the log while a team runs: its seals and its retention. */
import { describeError } from "../core/errors.ts";
import type { EventStore } from "../store/event-store.ts";
import { startRetention, type RetentionOptions } from "../store/retention.ts";
import { startSealer, type SealerOptions } from "../store/sealer.ts";
import type { OpenContext } from "./open-url.ts";
import { teamStreams } from "./team-streams.ts";

type Host = "store" | "clock" | "random" | "logger";

/** How the log is sealed. */
export type AuditOptions = Omit<SealerOptions, Host>;

/** What is removed from the log, and when. */
export interface TeamRetentionOptions extends Pick<
  RetentionOptions,
  "rules" | "holds" | "maxRows"
> {
  /** From the end of one run to the next, in milliseconds. @default 3_600_000 */
  readonly everyMs?: number;
}

export interface UpkeepOptions {
  readonly audit?: boolean | AuditOptions;
  readonly retention?: TeamRetentionOptions;
}

export interface LogUpkeep {
  /** Ends retention, then seals what is left. Never rejects. */
  close(): Promise<void>;
}

/** @throws {CadreError} INVALID_OPTION | INVALID_PATTERN */
export function startUpkeep(
  { audit = false, retention }: UpkeepOptions,
  store: EventStore,
  host: OpenContext,
): LogUpkeep {
  const remover =
    retention && startRetention({ guards: teamStreams, ...retention, store, ...host });
  const sealer =
    audit === false ? undefined : startSealer({ ...(audit === true ? {} : audit), store, ...host });
  return {
    close: async () => {
      for (const part of [remover, sealer]) {
        try {
          await part?.close();
        } catch (error) {
          // The next sealer goes on where this one ended.
          host.logger.warn("The log was not sealed to its end.", {
            error: describeError(error).message,
          });
        }
      }
    },
  };
}
