import { styleText } from "node:util";
import { progressLine, renderProgress, type Progress } from "./progress-view.ts";

/** The part of a stream that is written to. */
export interface Stream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const redrawMs = 200;
const lineEveryMs = 5_000;
const widest = 100; // a bar and its figures need no more
const usual = 80;

/**
 * Where the desk talks to a person: progress that is drawn over itself on a terminal and comes as a
 * line every few seconds elsewhere, with remarks above it.
 */
export class Screen {
  readonly #stream: Stream;
  #drawn = 0;
  #lastAt = -Infinity;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  get columns(): number {
    return Math.min(widest, this.#stream.columns ?? usual);
  }

  /** How often there is something to draw, in milliseconds. */
  get everyMs(): number {
    return this.#stream.isTTY ? redrawMs : lineEveryMs;
  }

  /** A remark that stays. */
  note(text: string): void {
    const drawn = this.#drawn;
    this.clear();
    this.#stream.write(`${text}\n`);
    if (drawn > 0) this.#lastAt = -Infinity;
  }

  lines(lines: readonly string[]): void {
    this.clear();
    this.#stream.write(`${lines.join("\n")}\n`);
  }

  /** Draws the progress, unless it was drawn just now. */
  progress(progress: Progress, now: number): void {
    if (now - this.#lastAt < this.everyMs) return;
    this.#lastAt = now;
    if (!this.#stream.isTTY) {
      this.#stream.write(`${progressLine(progress)}\n`);
      return;
    }
    const lines = renderProgress(progress, this.columns);
    this.clear();
    this.#stream.write(`${lines.join("\n")}\n`);
    this.#drawn = lines.length;
  }

  /** Takes the drawn progress away. */
  clear(): void {
    if (this.#drawn === 0) return;
    this.#stream.write(`\u001b[${this.#drawn}A\u001b[J`);
    this.#drawn = 0;
  }

  /** Whether headings may be bold. */
  get color(): boolean {
    // styleText knows NO_COLOR, FORCE_COLOR and terminals without colour.
    return this.#stream.isTTY === true && styleText("bold", "a") !== "a";
  }
}
