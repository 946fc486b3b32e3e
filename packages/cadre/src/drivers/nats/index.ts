/** NATS JetStream as the bus between processes. Public as `cadre/nats`. */
import type { Transport } from "../../bus/transport.ts";
import type { Clock } from "../../core/clock.ts";
import { CadreError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { Random } from "../../core/random.ts";

/** The part of a NATS connection that the transport uses. */
export interface NatsClientLike {
  close(): Promise<void>;
}

export interface NatsOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** The transport over the server at `connection`, or over a connection of the user's own. */
export function nats(connection: string | NatsClientLike, _options: NatsOptions = {}): Transport {
  throw new CadreError("UNSUPPORTED", `Cannot open ${String(connection)} yet.`, {
    feature: "nats",
    by: "nats",
  });
}
