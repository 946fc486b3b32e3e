/** Amazon EventBridge, with queues of SQS, as the bus between processes: `cadre/eventbridge`. */
import type { Transport } from "../../bus/transport.ts";
import type { AwsClients } from "./client.ts";
import { parseAddress } from "./connect.ts";
import { settle, type EventbridgeOptions } from "./eventbridge-options.ts";
import { EventbridgeTransport } from "./eventbridge-transport.ts";

export type {
  AttributeLike,
  AwsClients,
  BatchAnswer,
  CallOptions,
  EventsClientLike,
  MessageLike,
  PutEntry,
  QueuesClientLike,
  RuleLike,
  SendEntry,
} from "./client.ts";
export type { EventbridgeOptions } from "./eventbridge-options.ts";

/**
 * The transport over the event bus at `connection`: `eventbridge://REGION/EVENT-BUS`, with
 * `?prefix=` and `?endpoint=` where they are needed, or clients of the user's own, which stay open
 * when the transport closes.
 *
 * It connects at its first use, and makes the event bus, its rules and its queues where there are
 * none. A publish resolves when EventBridge has taken the events; it hands them to every group's
 * queue at least once, in no order, mostly within half a second.
 *
 * @throws {CadreError} INVALID_OPTION
 * @throws {CadreError} MISSING_LIBRARY, at its first use, when `@aws-sdk/client-eventbridge` or
 * `@aws-sdk/client-sqs` is not installed
 * @throws {CadreError} UNREACHABLE, at its first use, when AWS could not be reached within
 * `connectTimeoutMs`, or took the credentials for none of its own
 */
export function eventbridge(
  connection: string | AwsClients,
  options: EventbridgeOptions = {},
): Transport {
  if (typeof connection !== "string") {
    const settings = settle(options, false);
    const address = { shown: `the event bus ${settings.eventBus}` };
    return new EventbridgeTransport({ clients: connection, address }, settings);
  }
  const { options: inUrl, ...address } = parseAddress(connection);
  const settings = settle({ ...inUrl, ...options }, true);
  return new EventbridgeTransport({ address }, settings);
}
