/**
 * One connection in use: requests, JetStream's API, and word of its breaks.
 *
 *   connected ──disconnect──▶ broken ──reconnect──▶ connected, and all listeners are told
 *       └──────────────────────┴─────end()────────▶ ended
 */
import { CadreError, isCadreError } from "../../core/errors.ts";
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
  readonly #unanswered = new Set<() => void>();
  readonly #waiting = new Set<() => void>();
  #connected = true;
  #maxPayload: number | undefined;
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
    this.#watch().catch((error: unknown) =>
      settings.logger.warn("The NATS client no longer says how its connection is.", { error }),
    );
  }

  get connected(): boolean {
    return this.#connected && !this.client.isClosed();
  }

  /** Largest message that the server takes; it says so whenever a connection is made. */
  get maxPayload(): number | undefined {
    this.#maxPayload = this.client.info?.max_payload ?? this.#maxPayload;
    return this.#maxPayload;
  }

  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    this.#ended = true;
    for (const go of [...this.#waiting]) go();
    this.#listeners.clear();
  }

  /** @throws {CadreError} UNREACHABLE, when the client has given up for good */
  assertUsable(): void {
    if (this.#ended || !this.client.isClosed()) return;
    const message =
      `The connection to ${this.url} was closed by its owner, ` +
      "or the server refused its credentials. Open another.";
    throw new CadreError("UNREACHABLE", message, { url: this.url, tried: 1 });
  }

  /**
   * Calls `listener` when a broken connection is whole again, or closed for good; the returned
   * function ends that.
   */
  onChange(listener: () => void): () => void {
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
    const { clock, requestTimeoutMs } = this.settings;
    const timeoutMs = Math.max(1, Math.ceil(options.timeoutMs ?? requestTimeoutMs));
    const end = clock.monotonic() + timeoutMs;
    const { headers } = options;
    try {
      // The client throws away what it is given while it is not connected.
      await this.#whole(timeoutMs);
      const timeout = Math.max(1, Math.ceil(end - clock.monotonic()));
      const settings = { timeout, ...(headers ? { headers } : {}) };
      return await this.#unlessBroken(this.client.request(subject, data, settings));
    } catch (error) {
      throw fromClient(error, { url: this.url, what, timeoutMs, connected: this.connected });
    }
  }

  /**
   * Asks JetStream's API, as in `api("STREAM.INFO.events")`.
   *
   * @throws {Refusal} | {NobodyThere} | {CadreError} TIMEOUT | UNREACHABLE
   */
  async api<Answer>(path: string, body?: object, timeoutMs?: number): Promise<Answer> {
    const subject = `${this.settings.apiPrefix}.${path}`;
    const data = body && encoder.encode(JSON.stringify(body));
    const options = timeoutMs === undefined ? {} : { timeoutMs };
    return parseAnswer<Answer>(await this.request(path, subject, data, options));
  }

  /** Publishes into a stream, and resolves with its number there. @throws as {@link Session.api} */
  async store(
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ): Promise<number> {
    return (await this.place(subject, data, headers)).seq;
  }

  /** As `store`, and whether the stream had the message's id already. */
  async place(
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly seq: number; readonly duplicate?: boolean }> {
    const options = { headers: this.headers(headers) };
    return parseAnswer(await this.request(`publish to ${subject}`, subject, data, options));
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

  /**
   * Runs `operation` again, with pauses, while nobody is there: JetStream starts after the server
   * takes connections, and in a cluster answers nobody before there is a leader.
   */
  async patiently<Result>(operation: () => Promise<Result>): Promise<Result> {
    const { clock, requestTimeoutMs } = this.settings;
    const end = clock.monotonic() + requestTimeoutMs;
    for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
      try {
        return await operation();
      } catch (error) {
        const isOver = this.#ended || clock.monotonic() + pauseMs > end;
        const isPassing =
          error instanceof NobodyThere ||
          isRefusal(error, refusals.noLeaderYet) ||
          isCadreError(error, "TIMEOUT");
        if (!isPassing || isOver) throw error;
        await clock.sleep(pauseMs);
      }
    }
  }

  /** Resolves when the connection is whole; at the latest when the time is over, whole or not. */
  #whole(timeoutMs: number): Promise<void> | undefined {
    if (this.connected || this.client.isClosed()) return undefined;
    return new Promise((resolve) => {
      const go = (): void => {
        cancel();
        end();
        this.#waiting.delete(go);
        resolve();
      };
      const cancel = this.settings.clock.after(timeoutMs, go);
      const end = this.onChange(go);
      this.#waiting.add(go);
    });
  }

  /**
   * An answer that was on its way when the connection broke never comes: there is no use in waiting
   * for it.
   */
  #unlessBroken(answer: Promise<NatsMessageLike>): Promise<NatsMessageLike> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new Error("the connection broke"));
      this.#unanswered.add(fail);
      answer.then(resolve, reject).finally(() => this.#unanswered.delete(fail));
    });
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.client.status()) {
      if (this.#ended) return;
      if (type === "disconnect") {
        this.#connected = false;
        for (const fail of [...this.#unanswered]) fail();
      }
      if (type === "reconnect") this.#connected = true;
      if (type === "reconnect" || type === "close") this.#tellChange();
    }
    this.#connected = false;
    this.#tellChange();
  }

  #tellChange(): void {
    for (const listener of [...this.#listeners]) listener();
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
