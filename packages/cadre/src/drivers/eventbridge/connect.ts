/** Makes the clients of a URL. The client libraries are loaded when they are needed first. */
import { CadreError } from "../../core/errors.ts";
import type { AwsClients } from "./client.ts";
import type { EventbridgeOptions, Settings } from "./eventbridge-options.ts";

/** Where a URL leads. */
export interface Address {
  /** For messages. */
  readonly shown: string;
  /** Absent where AWS' own settings say it. */
  readonly region?: string;
  readonly endpoint?: string;
}

/**
 * `eventbridge://REGION/EVENT-BUS?prefix=…&endpoint=http://…`; without a region, AWS' own settings
 * say it, and without a name it is the bus "default".
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function parseAddress(text: string): Address & { readonly options: EventbridgeOptions } {
  const url = URL.parse(text);
  if (url?.protocol !== "eventbridge:") throw badAddress(text);
  if (url.username !== "" || url.password !== "") throw badAddress(text);
  const eventBus = decodeURIComponent(url.pathname.replace(/^\//, ""));
  const options: { -readonly [Name in "eventBus" | "prefix"]?: string } = {};
  if (eventBus !== "") options.eventBus = eventBus;
  let endpoint: string | undefined;
  for (const [name, value] of url.searchParams) {
    if (name === "prefix") options.prefix = value;
    else if (name === "endpoint" && URL.canParse(value)) endpoint = value;
    else throw badAddress(text);
  }
  const region = url.hostname;
  return {
    shown: `eventbridge://${region}/${eventBus}${endpoint === undefined ? "" : ` (${endpoint})`}`,
    ...(region === "" ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    options,
  };
}

function badAddress(text: string): CadreError {
  const value = text.replace(/\/\/[^@/]*@/, "//…@"); // what stands in front of the host is secret
  const message =
    `"${value}" is no address of an event bus. Give eventbridge://REGION/EVENT-BUS, with ` +
    "?prefix= or ?endpoint= where they are needed. Credentials come from AWS' own settings.";
  return new CadreError("INVALID_OPTION", message, { option: "connection", value });
}

const library = "@aws-sdk/client-eventbridge @aws-sdk/client-sqs";

async function loadLibraries(): Promise<
  [typeof import("@aws-sdk/client-eventbridge"), typeof import("@aws-sdk/client-sqs")]
> {
  try {
    return await Promise.all([
      import("@aws-sdk/client-eventbridge"),
      import("@aws-sdk/client-sqs"),
    ]);
  } catch (error) {
    const install = `npm install ${library}`;
    const message = `EventBridge needs ${library}, which are not installed. Run: ${install}`;
    throw new CadreError("MISSING_LIBRARY", message, { library, install }, error);
  }
}

const mostSockets = 1_000; // each open subscription keeps one busy

/** @throws {CadreError} MISSING_LIBRARY */
export async function makeClients(address: Address, settings: Settings): Promise<AwsClients> {
  const [{ EventBridge }, { SQS }] = await loadLibraries();
  const agent = { keepAlive: true, maxSockets: mostSockets };
  const options = {
    ...(address.region === undefined ? {} : { region: address.region }),
    ...(address.endpoint === undefined ? {} : { endpoint: address.endpoint }),
    requestHandler: { connectionTimeout: 3_000, httpAgent: agent, httpsAgent: agent },
    ...settings.connection,
  };
  return { events: new EventBridge(options), queues: new SQS(options) };
}
