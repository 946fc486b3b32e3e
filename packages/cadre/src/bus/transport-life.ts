/**
 * The connection of a transport: opened at its first use, closed once.
 *
 *   idle ──first use──▶ opening ──▶ open ──close()──▶ closing
 *    ▲                     │                            what is being published is answered,
 *    └───── it failed ─────┘                            the intakes close, the connection ends
 *
 * From close() on, whatever is asked and whatever fails is told that the transport is closed.
 */
import type { CadreError } from "../core/errors.ts";
import type { Intake, OrderedResult } from "./transport.ts";

/** What differs from driver to driver. */
export interface LifeParts<Connection> {
  /** `signal` is aborted by close(): no further tries. One that runs may still succeed. */
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  readonly end: (connection: Connection) => Promise<void>;
  /** The error that a caller gets for what was thrown while `what` was done. */
  readonly forCaller: (error: unknown, connection: Connection, what: string) => unknown;
  readonly closedError: () => CadreError;
}

/** The connection as those see it who neither open nor close it. */
export type Connected<Connection> = Pick<TransportLife<Connection, Intake>, "connection" | "use">;

export class TransportLife<Connection, Member extends Intake> {
  /** The open ones: each is taken out by its own close. */
  readonly intakes: Set<Member> = new Set();
  readonly #parts: LifeParts<Connection>;
  readonly #publishing = new Set<Promise<unknown>>();
  readonly #closer = new AbortController();
  #opening: Promise<Connection> | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: LifeParts<Connection>) {
    this.#parts = parts;
  }

  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /** What failed is tried again at the next use. */
  connection(): Promise<Connection> {
    if (this.#closing) return Promise.reject(this.#parts.closedError());
    if (!this.#opening) {
      const opening = this.#parts.connect(this.#closer.signal);
      this.#opening = opening;
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  async use<Result>(
    what: string,
    operation: (connection: Connection) => Promise<Result>,
  ): Promise<Result> {
    const connection = await this.connection();
    try {
      return await operation(connection);
    } catch (error) {
      if (this.#closing) throw this.#parts.closedError();
      throw this.#parts.forCaller(error, connection, what);
    }
  }

  async publish<Results extends readonly OrderedResult[]>(
    send: (connection: Connection) => Promise<Results>,
  ): Promise<Results> {
    const publishing = this.connection().then(send);
    this.#publishing.add(publishing);
    try {
      return await publishing;
    } finally {
      this.#publishing.delete(publishing);
    }
  }

  openIntake(open: (connection: Connection) => Promise<Member>): Promise<Member> {
    return this.use("open", async (connection) => {
      const intake = await open(connection);
      if (this.#closing) {
        await intake.close();
        throw this.#parts.closedError();
      }
      this.intakes.add(intake);
      return intake;
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody is told
    this.#closer.abort(this.#parts.closedError());
    // Who could not connect has been told so, and leaves nothing to close.
    const connection = await this.#opening?.catch(() => undefined);
    if (connection === undefined) return;
    await Promise.allSettled([...this.#publishing]);
    await Promise.allSettled([...this.intakes].map((intake) => intake.close()));
    await this.#parts.end(connection);
  }
}
