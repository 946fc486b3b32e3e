/** The two clients in use: every request has its time, and is asked again while AWS is busy. */
import { CadreError } from "../../core/errors.ts";
import type { AwsClients, CallOptions } from "./client.ts";
import { makeClients, type Address } from "./connect.ts";
import {
  closedError,
  forCaller,
  isMissing,
  isPassing,
  isTaken,
  isTimeout,
  timeoutError,
} from "./eventbridge-error.ts";
import type { Settings } from "./eventbridge-options.ts";
import { namesOf, type Names } from "./names.ts";

const firstPauseMs = 100;
const mostPauseMs = 2_000;

export interface Target {
  readonly clients?: AwsClients;
  readonly address: Address;
}

/** Parts of ARNs, taken from the event bus's own. */
interface Place {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
}

export class Session {
  readonly settings: Settings;
  readonly names: Names;
  readonly clients: AwsClients;
  readonly url: string;
  readonly #isOwn: boolean;
  readonly #closer = new AbortController();
  readonly #queueUrls = new Map<string, string>();
  #place: Place = { partition: "aws", region: "", account: "" };

  private constructor(settings: Settings, clients: AwsClients, target: Target) {
    this.settings = settings;
    this.names = namesOf(settings.prefix);
    this.clients = clients;
    this.url = target.address.shown;
    this.#isOwn = target.clients === undefined;
  }

  /**
   * Looks the event bus up, and makes it if there is none. Tries again until the time for
   * connecting is over.
   *
   * @throws {CadreError} UNREACHABLE | MISSING_LIBRARY
   */
  static async open(target: Target, settings: Settings, signal: AbortSignal): Promise<Session> {
    const clients = target.clients ?? (await makeClients(target.address, settings));
    const session = new Session(settings, clients, target);
    try {
      await session.#connect(signal);
      return session;
    } catch (error) {
      session.end();
      throw error;
    }
  }

  get ended(): boolean {
    return this.#closer.signal.aborted;
  }

  /** Ends what still runs. */
  end(): void {
    if (this.ended) return;
    this.#closer.abort(closedError());
    if (!this.#isOwn) return;
    this.clients.events.destroy();
    this.clients.queues.destroy();
  }

  queueArn(name: string): string {
    const { partition, region, account } = this.#place;
    return `arn:${partition}:sqs:${region}:${account}:${name}`;
  }

  ruleArn(name: string): string {
    const { partition, region, account } = this.#place;
    const { eventBus } = this.settings;
    const path = eventBus === "default" ? name : `${eventBus}/${name}`;
    return `arn:${partition}:events:${region}:${account}:rule/${path}`;
  }

  /** @throws {CadreError} TIMEOUT, and what the client throws */
  async call<Result>(
    what: string,
    operation: (options: CallOptions) => Promise<Result>,
    timeoutMs: number = this.settings.requestTimeoutMs,
    signal?: AbortSignal,
  ): Promise<Result> {
    const timer = new AbortController();
    const cancel = this.settings.clock.after(timeoutMs, () => timer.abort(), { background: true });
    const signals = [timer.signal, this.#closer.signal, ...(signal ? [signal] : [])];
    try {
      return await operation({ abortSignal: AbortSignal.any(signals) });
    } catch (error) {
      if (this.ended) throw closedError();
      if (timer.signal.aborted) throw timeoutError(this.url, what, timeoutMs);
      throw error;
    } finally {
      cancel();
    }
  }

  /** Asks again, with pauses, while AWS is busy or does not answer. */
  async patiently<Result>(
    what: string,
    operation: (options: CallOptions) => Promise<Result>,
    forMs: number = this.settings.requestTimeoutMs,
    isOver: (error: unknown) => boolean = (error) => !isPassing(error),
  ): Promise<Result> {
    const { clock, random } = this.settings;
    const end = clock.monotonic() + forMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
      try {
        return await this.call(what, operation);
      } catch (error) {
        const pause = Math.round(pauseMs * (0.5 + random.next() / 2));
        if (this.ended || isOver(error) || clock.monotonic() + pause > end) throw error;
        await clock.sleep(pause);
      }
    }
  }

  /** The URL of a queue that is there. @throws what the client throws when it is not */
  async queueUrl(name: string): Promise<string> {
    const known = this.#queueUrls.get(name);
    if (known !== undefined) return known;
    const { QueueUrl } = await this.patiently(`look for queue ${name}`, (options) =>
      this.clients.queues.getQueueUrl({ QueueName: name }, options),
    );
    return this.noteQueue(name, QueueUrl);
  }

  noteQueue(name: string, url: string | undefined): string {
    if (url === undefined) throw new Error(`The queue ${name} has no URL.`);
    this.#queueUrls.set(name, url);
    return url;
  }

  forgetQueue(name: string): void {
    this.#queueUrls.delete(name);
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { connectTimeoutMs } = this.settings;
    let tried = 0;
    const find = async (options: CallOptions): Promise<string | undefined> => {
      tried += 1;
      const { Arn } = await this.#findBus(options);
      return Arn;
    };
    try {
      const arn = await this.patiently(
        "find the event bus",
        find,
        connectTimeoutMs,
        (error) => signal.aborted || !(isPassing(error) || isTimeout(error)),
      );
      const [, partition = "aws", , region = "", account = ""] = (arn ?? "").split(":");
      this.#place = { partition, region, account };
    } catch (error) {
      if (isTimeout(error)) throw this.#unreachable(error, tried);
      throw error instanceof CadreError ? error : this.#unreachable(error, tried);
    }
  }

  #unreachable(error: unknown, tried: number): CadreError {
    const said = forCaller(error, this.url, "Connecting", tried);
    const times = tried === 1 ? "once" : `${tried} times`;
    const message =
      `${said.message} Tried ${times}. Look at the region, the endpoint, the credentials and ` +
      "their permissions.";
    return new CadreError("UNREACHABLE", message, { url: this.url, tried }, error);
  }

  async #findBus(options: CallOptions): Promise<{ readonly Arn?: string | undefined }> {
    const Name = this.settings.eventBus;
    const { events } = this.clients;
    try {
      return await events.describeEventBus({ Name }, options);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    try {
      await events.createEventBus({ Name }, options);
    } catch (error) {
      if (!isTaken(error)) throw error; // by another process, just now
    }
    return events.describeEventBus({ Name }, options);
  }
}
