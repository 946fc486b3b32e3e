/**
 * Which dead letters there are, and where each lies in their stream.
 *
 *   stream:   letter a │ letter b │ gone a │ letter c │ marker
 *   index:       b ─────────▲          c ───────▲
 *
 * Nothing can be taken out of a stream, so what is removed is written behind it. The index reads
 * the stream from its beginning, once, and goes on reading: after the first marker has come by, it
 * is as new as the server's last delivery. A broken connection makes it old until another marker.
 */
import { describeError } from "../../core/errors.ts";
import type { RabbitMessageLike } from "./client.ts";
import { LogCursor, sendMarker } from "./log-cursor.ts";
import { closedError, timeoutError } from "./rabbitmq-error.ts";
import type { Session } from "./session.ts";
import { headerOf, offsetOf, textHeader } from "./wire.ts";

interface Waiting {
  /** Told whether the record changed what there is. */
  readonly pass: (changed: boolean) => void;
  readonly fail: (error: unknown) => void;
}

export class LetterIndex {
  readonly #session: Session;
  readonly #cursor: LogCursor;
  readonly #offsets = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #endListening: () => void;
  #isFresh = false;
  #freshening: Promise<unknown> | undefined;
  #pages = 0;
  #isOver = false;

  private constructor(session: Session, cursor: LogCursor) {
    this.#session = session;
    this.#cursor = cursor;
    this.#endListening = session.into.onChange(() => (this.#isFresh = false));
    void this.#follow();
  }

  static async open(session: Session): Promise<LetterIndex> {
    // After a restart the server takes a moment before its streams can be read.
    const cursor = await session.patiently("read dead letters", () =>
      LogCursor.open(session, { offset: "first" }, session.names.dead),
    );
    return new LetterIndex(session, cursor);
  }

  /** It has failed or was closed; another must be opened. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Where the letter lies. */
  offsetOf(id: string): number | undefined {
    return this.#offsets.get(id);
  }

  /** Of all letters, the one that was written first at the front. */
  offsets(): number[] {
    return [...this.#offsets.values()];
  }

  forget(id: string): void {
    this.#offsets.delete(id);
  }

  /** Resolves when all that was written before has been read. */
  async freshen(): Promise<void> {
    if (this.#isFresh) return;
    this.#freshening ??= (async () => {
      const marker = this.#session.mark();
      const passed = this.passed(marker); // it may come by before the server has confirmed it
      passed.catch(() => {}); // thrown below, unless sending failed already
      await sendMarker(this.#session, this.#session.names.dead, marker);
      await passed;
      this.#isFresh = true;
    })().finally(() => (this.#freshening = undefined));
    await this.#freshening;
  }

  /**
   * Resolves when the record with this mark has been read: with whether it changed anything.
   *
   * @throws {CadreError} TIMEOUT, when nothing at all has been read for as long as an answer takes
   */
  async passed(mark: string): Promise<boolean> {
    if (this.#isOver) throw closedError();
    const { clock, requestTimeoutMs } = this.#session.settings;
    let cancel = (): void => {};
    try {
      return await new Promise<boolean>((pass, fail) => {
        this.#waiting.set(mark, { pass, fail });
        const watch = (pages: number): void => {
          cancel = clock.after(requestTimeoutMs, () => {
            if (this.#pages > pages) watch(this.#pages);
            else fail(timeoutError(this.#session.url, "read dead letters", requestTimeoutMs));
          });
        };
        watch(this.#pages);
      });
    } finally {
      cancel();
      this.#waiting.delete(mark);
    }
  }

  async close(): Promise<void> {
    this.#end(closedError());
    await this.#cursor.close();
  }

  async #follow(): Promise<void> {
    try {
      for (;;) {
        const page = await this.#cursor.next();
        if (page.length === 0) return;
        this.#pages += 1;
        for (const message of page) this.#read(message);
      }
    } catch (error) {
      const { logger } = this.#session.settings;
      logger.warn("Dead letters cannot be read for now.", { error: describeError(error) });
      this.#end(error);
      await this.#cursor.close();
    }
  }

  #read(message: RabbitMessageLike): void {
    const letter = textHeader(message, headerOf.letter);
    const gone = textHeader(message, headerOf.gone);
    let changed = false;
    if (letter !== undefined) {
      this.#offsets.delete(letter); // one that is written again is the newest
      this.#offsets.set(letter, offsetOf(message));
      changed = true;
    } else if (gone !== undefined) changed = this.#offsets.delete(gone);
    const mark = textHeader(message, headerOf.marker) ?? textHeader(message, headerOf.mark);
    if (mark !== undefined) this.#waiting.get(mark)?.pass(changed);
  }

  #end(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#endListening();
    for (const { fail } of [...this.#waiting.values()]) fail(error);
  }
}
