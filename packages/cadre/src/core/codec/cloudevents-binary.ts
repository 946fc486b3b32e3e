/**
 * CloudEvents 1.0, binary mode: attributes in headers, the payload alone in the body.
 *
 *   binding   header     values
 *   http      ce-name    percent-encoded: space, `"`, `%` and all that is no visible ASCII
 *   nats      ce-name    as http
 *   kafka     ce_name    UTF-8 as it is
 *   amqp      cloudEvents_name    UTF-8 as it is
 *
 * All attributes are text here; an extension of another type travels inside `cadrejson` and comes
 * back with its type.
 */
import type { AgentEvent } from "../event.ts";
import type { JsonValue } from "../json.ts";
import { fromAttributes, toAttributes } from "./cloudevents-attributes.ts";
import type { CloudDecodeOptions } from "./cloudevents.ts";
import { decodeJson, encodeUtf8, undecodable, type CodecLimits } from "./wire-json.ts";

export type CloudBinding = "http" | "nats" | "kafka" | "amqp";

/** One message in binary mode. */
export interface BinaryCloudEvent {
  /** The attributes, by header name; `datacontenttype` is not among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Goes where the carrier has its content type: a header or a property. */
  readonly contentType: string;
  readonly data: Uint8Array;
}

const plainJson = "application/json";
const jsonType = /^(?:application|text)\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;

const mostNames = 256; // that are remembered; senders may choose their own

/** Headers and the attributes in them. Text that is put together anew is slow as a key. */
class HeaderNames {
  readonly #prefix: string;
  readonly #headers = new Map<string, string>();
  readonly #attributes = new Map<string, string | undefined>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  headerOf(attribute: string): string {
    let header = this.#headers.get(attribute);
    if (header === undefined) {
      header = this.#prefix + attribute;
      if (this.#headers.size >= mostNames) this.#headers.clear();
      this.#headers.set(attribute, header);
    }
    return header;
  }

  /** Nothing where it is no attribute's. */
  attributeOf(header: string): string | undefined {
    if (this.#attributes.has(header)) return this.#attributes.get(header);
    const name = header.toLowerCase();
    const wanted = this.#prefix.toLowerCase();
    const attribute = name.startsWith(wanted) ? name.slice(wanted.length) : undefined;
    if (this.#attributes.size >= mostNames) this.#attributes.clear();
    this.#attributes.set(header, attribute);
    return attribute;
  }
}

const httpNames = new HeaderNames("ce-");

const bindings: Readonly<
  Record<CloudBinding, { readonly names: HeaderNames; readonly escapes: boolean }>
> = {
  http: { names: httpNames, escapes: true },
  nats: { names: httpNames, escapes: true },
  kafka: { names: new HeaderNames("ce_"), escapes: false },
  amqp: { names: new HeaderNames("cloudEvents_"), escapes: false },
};

/** @throws {CadreError} TOO_LARGE, when headers and body together are over the limit */
export function encodeBinaryCloudEvent(
  event: AgentEvent,
  binding: CloudBinding,
  limits: CodecLimits = {},
): BinaryCloudEvent {
  const { escapes, names } = bindings[binding];
  const headers: Record<string, string> = {};
  const attributes = toAttributes(event, false);
  for (const name in attributes) {
    if (name === "datacontenttype") continue;
    const text = String(attributes[name]);
    headers[names.headerOf(name)] = escapes ? escapeHeader(text) : text;
  }
  const data = encodeUtf8(JSON.stringify(event.payload), limits);
  return { headers, contentType: plainJson, data };
}

/**
 * The event of a message in binary mode. Header names may have any case; headers of others are
 * ignored.
 *
 * @throws {CadreError} TOO_LARGE | UNDECODABLE, also when the content is no JSON
 */
export function decodeBinaryCloudEvent(
  message: {
    readonly headers: Readonly<Record<string, string | undefined>>;
    readonly contentType?: string;
    readonly data: Uint8Array;
  },
  binding: CloudBinding,
  options: CloudDecodeOptions = {},
): AgentEvent {
  const { escapes, names } = bindings[binding];
  const attributes: Record<string, JsonValue> = {};
  const { headers } = message;
  for (const header in headers) {
    const value = headers[header];
    const name = names.attributeOf(header);
    if (value === undefined || name === undefined) continue;
    attributes[name] = escapes ? unescapeHeader(value) : value;
  }
  const { contentType = plainJson } = message;
  if (contentType !== plainJson && !jsonType.test(contentType)) {
    throw undecodable(`its content is ${contentType}, and payloads are JSON`);
  }
  const payload = message.data.length === 0 ? null : decodeJson(message.data, options);
  return fromAttributes(attributes, payload, options.receivedAt ?? 0);
}

const encoder = new TextEncoder();

function escapeHeader(text: string): string {
  // Space, quote, percent, and what is no visible ASCII; whole code points, so that pairs stay
  // together.
  return text.replace(/[^\u0021\u0023\u0024\u0026-\u007e]/gu, (character) => {
    let escaped = "";
    for (const byte of encoder.encode(character)) {
      escaped += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    }
    return escaped;
  });
}

function unescapeHeader(value: string): string {
  const quoted = /^"(.*)"$/s.exec(value);
  const text = quoted ? quoted[1]!.replace(/\\(.)/gs, "$1") : value;
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a sender that does not escape may have written a bare percent sign
  }
}
