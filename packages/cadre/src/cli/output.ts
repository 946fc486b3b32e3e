/**
 * Where commands write: results to standard output, everything else to standard error.
 *
 * Colour only on a terminal and without NO_COLOR. The width is the terminal's, or COLUMNS; a pipe
 * has none, so that nothing is cut that a program reads. A reader that goes away (`| head`) ends
 * the
 * command quietly: `gone` is aborted, and nothing is written any more.
 */
import { styleText } from "node:util";

import { wrap } from "./text-width.ts";

type Style = Parameters<typeof styleText>[0];

/** The part of a stream that is written to. */
export interface Sink {
  write(text: string, done?: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
  off(event: "error", listener: (error: Error) => void): unknown;
  once(event: "drain", listener: () => void): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface OutputOptions {
  readonly out: Sink;
  readonly err: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const leastWidth = 20; // narrower than that nothing can be read anyway

export class Output {
  readonly #out: Sink;
  readonly #err: Sink;
  readonly #env: OutputOptions["env"];
  readonly #gone = new AbortController();
  readonly #onError = (error: Error): void => {
    if ("code" in error && error.code === "EPIPE") this.#gone.abort();
    else this.#failure ??= error;
    this.#wakeAll();
  };
  #failure: Error | undefined;
  #blocked: (() => void)[] = [];

  constructor(options: OutputOptions) {
    this.#out = options.out;
    this.#err = options.err;
    this.#env = options.env;
    this.#out.on("error", this.#onError);
    this.#err.on("error", this.#onError);
  }

  /** Columns of standard output; Infinity where nobody counts them. */
  get width(): number {
    return this.#widthOf(this.#out);
  }

  /** Aborted when nobody reads standard output any more. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Whether a person reads it as it is written. */
  get isTerminal(): boolean {
    return this.#out.isTTY === true;
  }

  /**
   * Writes one line; resolves when there is room for the next. Rejects when it cannot be written.
   */
  async line(text: string): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#gone.signal.aborted || this.#out.write(`${text}\n`)) return;
    await new Promise<void>((resolve) => {
      this.#blocked.push(resolve);
      this.#out.once("drain", () => this.#wakeAll());
    });
  }

  async lines(lines: Iterable<string>): Promise<void> {
    for (const line of lines) await this.line(line);
  }

  /** Folded to the width. */
  text(text: string): Promise<void> {
    return this.line(wrap(text, this.width));
  }

  /** One value as one line of JSON. */
  json(value: unknown): Promise<void> {
    return this.line(JSON.stringify(value));
  }

  /** A remark for the person at the terminal; never part of the result. */
  note(text: string): void {
    this.#err.write(`${wrap(text, this.#widthOf(this.#err))}\n`);
  }

  style(style: Style, text: string): string {
    if (!this.#out.isTTY || this.#isPlain) return text;
    return styleText(style, text, { validateStream: false });
  }

  /** Ends listening to the streams, when all has been handed to the system. */
  async close(): Promise<void> {
    await Promise.all([flushed(this.#out), flushed(this.#err)]);
    this.#out.off("error", this.#onError);
    this.#err.off("error", this.#onError);
  }

  get #isPlain(): boolean {
    return (this.#env["NO_COLOR"] ?? "") !== "" || this.#env["TERM"] === "dumb";
  }

  #widthOf(sink: Sink): number {
    const columns = sink.columns ?? Number(this.#env["COLUMNS"]);
    return Number.isInteger(columns) && columns > 0 ? Math.max(leastWidth, columns) : Infinity;
  }

  #wakeAll(): void {
    for (const resume of this.#blocked.splice(0)) resume();
  }
}

function flushed(sink: Sink): Promise<void> {
  return new Promise((resolve) => sink.write("", () => resolve()));
}
