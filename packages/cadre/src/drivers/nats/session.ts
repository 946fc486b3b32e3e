/**
 * One connection in use: requests, JetStream's API, and word of its breaks.
 *
 *   connected ──disconnect──▶ broken ──reconnect──▶ connected (listeners told: what the server held for us is gone)
 *       └──────────────────────┴─────end()────────▶ ended
 */
import { CadreError } from "../../core/errors.ts";
import type { NatsClientLike, NatsHeadersLike, NatsMessageLike } from "./client.ts";
import { fromClient, isRefusal, NobodyThere, Refusal, refusals } from "./nats-error.ts";
import type { Settings } from "./nats-options.ts";

interface ApiAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const noBytes = new Uint8Array();

export class Session {
  readonly client: NatsClientLike;
  readonly settings: Settings;
  /** The servers without credentials, for messages. */
  readonly url: string;
  readonly #makeHeaders: () => NatsHeadersLike;
  readonly #listeners = new Set<() => void>();
  #connected = true;
  #ended = false;
  #inboxes = 0;
  readonly #inboxBase: string;

  constructor(
    client: NatsClientLike,
    settings: Settings,
    parts: { readonly url: string; readonly makeHeaders: () => NatsHeadersLike },
  ) {
    this.client = client;
    this.settings = settings;
    this.url = parts.url;
    this.#makeHeaders = parts.makeHeaders;
    this.#inboxBase = `${settings.inboxPrefix}.${settings.random.id(settings.clock.now())}`;
    void this.#watch();
  }

  get connected(): boolean {
    return this.#connected && !this.client.isClosed();
  }

  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    this.#ended = true;
    this.#listeners.clear();
  }

  assertOpen(): void {
    if (this.#ended) throw closedError();
  }

  /** Calls `listener` whenever a broken connection is whole again; the returned function ends that. */
  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  newInbox(): string {
    this.#inboxes += 1;
    return `${this.#inboxBase}.${this.#inboxes}`;
  }

  headers(values: Readonly<Record<string, string>>): NatsHeadersLike {
    const headers = this.#makeHeaders();
    for (const [name, value] of Object.entries(values)) headers.set(name, value);
    return headers;
  }

  /**
   * @param timeoutMs @default `requestTimeoutMs`
   * @throws {CadreError} TIMEOUT | UNREACHABLE
   * @throws {NobodyThere}
   */
  async request(
    what: string,
    subject: string,
    data: Uint8Array = noBytes,
    options: { readonly headers?: NatsHeadersLike; readonly timeoutMs?: number } = {},
  ): Promise<NatsMessageLike> {
    const timeoutMs = Math.max(1, Math.ceil(options.timeoutMs ?? this.settings.requestTimeoutMs));
    const { headers } = options;
    try {
      return await this.client.request(subject, data, {
        timeout: timeoutMs,
        ...(headers ? { headers } : {}),
      });
    } catch (error) {
      throw fromClient(error, { url: this.url, what, timeoutMs, connected: this.connected });
    }
  }

  /**
   * Asks JetStream's API, as in `api("STREAM.INFO.events")`.
   *
   * @throws {Refusal} | {NobodyThere} | {CadreError} TIMEOUT | UNREACHABLE
   */
  async api<Answer>(path: string, body?: object): Promise<Answer> {
    const subject = `${this.settings.apiPrefix}.${path}`;
    const data = body && encoder.encode(JSON.stringify(body));
    return parseAnswer<Answer>(await this.request(path, subject, data));
  }

  /** Publishes into a stream, and resolves with its number there. @throws as {@link Session.api} */
  async store(
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ): Promise<number> {
    const options = { headers: this.headers(headers) };
    const answer = await this.request(`publish to ${subject}`, subject, data, options);
    return parseAnswer<{ seq: number }>(answer).seq;
  }

  /** The last message of a subject, if there is one. */
  async last(stream: string, subject: string): Promise<Uint8Array | undefined> {
    const query = { last_by_subj: subject };
    try {
      const { message } = await this.api<{ message: { data?: string } }>(
        `STREAM.MSG.GET.${stream}`,
        query,
      );
      return Buffer.from(message.data ?? "", "base64");
    } catch (error) {
      if (isRefusal(error, refusals.messageNotFound)) return undefined;
      throw error;
    }
  }

  /** Runs `operation` again, with pauses, while nobody is there: JetStream starts after the server takes connections. */
  async patiently<Result>(operation: () => Promise<Result>): Promise<Result> {
    const { clock, requestTimeoutMs } = this.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
      try {
        return await operation();
      } catch (error) {
        const isOver = this.#ended || clock.monotonic() + pauseMs > end;
        if (!(error instanceof NobodyThere) || isOver) throw error;
        await clock.sleep(pauseMs);
      }
    }
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.client.status()) {
      if (this.#ended) return;
      if (type === "disconnect") this.#connected = false;
      if (type !== "reconnect") continue;
      this.#connected = true;
      for (const listener of [...this.#listeners]) listener();
    }
    this.#connected = false;
  }
}

function parseAnswer<Answer>(message: NatsMessageLike): Answer {
  let answer: unknown;
  try {
    answer = JSON.parse(decoder.decode(message.data));
  } catch {
    throw new Refusal("the answer is no JSON", 0);
  }
  const { error } = answer as ApiAnswer; // JetStream's answers are objects
  if (error) throw new Refusal(error.description ?? "it gave no reason", error.err_code ?? 0);
  return answer as Answer;
}

export function closedError(): CadreError {
  const message = "The NATS transport is closed. Open another, or close it later.";
  return new CadreError("CLOSED", message, { what: "nats" });
}
