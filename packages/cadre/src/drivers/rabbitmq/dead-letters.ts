import { letterMatcher } from "../../bus/letter-matcher.ts";
import type { Connected } from "../../bus/transport-life.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "../../bus/transport.ts";
import { freezeJson } from "../../core/json.ts";
import type { RabbitMessageLike } from "./client.ts";
import { LetterIndex } from "./letter-index.ts";
import { LogCursor, offsetStart } from "./log-cursor.ts";
import { closedError, forCaller, timeoutError } from "./rabbitmq-error.ts";
import type { Session } from "./session.ts";
import { headerOf, offsetOf, textHeader } from "./wire.ts";

/**
 * Dead letters in a stream of their own, with an index in memory of those that are there. Who only
 * writes letters reads none.
 */
export class RabbitmqDeadLetters implements DeadLetterBox {
  readonly #connected: Connected<Session>;
  #opening: Promise<LetterIndex> | undefined;
  #closed = false;

  constructor(connected: Connected<Session>) {
    this.#connected = connected;
  }

  put(letter: DeadLetter): Promise<void> {
    return this.#connected.use("write a dead letter", async (session) => {
      const mark = session.mark();
      const index = await this.#opening?.catch(() => undefined);
      // Heard of from here on: it may come by before the server has confirmed it.
      const read = index && !index.isOver ? index.passed(mark) : Promise.resolve(true);
      read.catch(() => {}); // it is written; who asks next reads it
      await append(session, Buffer.from(JSON.stringify(letter)), {
        [headerOf.letter]: letter.id,
        [headerOf.mark]: mark,
      });
      await read.catch(() => {});
    });
  }

  get(id: string): Promise<DeadLetter | undefined> {
    return this.#connected.use("read a dead letter", async (session) => {
      const index = await this.#fresh(session);
      const offset = index.offsetOf(id);
      if (offset === undefined) return undefined;
      for await (const message of messagesFrom(session, offset, offset)) {
        if (textHeader(message, headerOf.letter) === id) return decodeLetter(message);
      }
      index.forget(id); // the server has dropped it for its limit
      return undefined;
    });
  }

  async *list(query: DeadLetterQuery = {}): AsyncGenerator<DeadLetter, void, undefined> {
    let left = query.limit ?? Infinity;
    if (left <= 0) return;
    const session = await this.#connected.connection();
    try {
      const index = await this.#fresh(session);
      const offsets = index.offsets();
      if (offsets.length === 0) return;
      const isAsked = letterMatcher(query);
      for await (const message of messagesFrom(session, offsets[0]!, offsets.at(-1)!)) {
        const id = textHeader(message, headerOf.letter);
        if (id === undefined || index.offsetOf(id) !== offsetOf(message)) continue;
        const letter = decodeLetter(message);
        if (!isAsked(letter)) continue;
        yield letter;
        left -= 1;
        if (left === 0) return;
      }
    } catch (error) {
      throw forCaller(error, session.url, "list dead letters");
    }
  }

  remove(id: string): Promise<boolean> {
    return this.#connected.use("remove a dead letter", async (session) => {
      const index = await this.#fresh(session);
      if (index.offsetOf(id) === undefined) return false;
      const mark = session.mark();
      // Of two that remove one letter at once, the stream says who was first.
      const removed = index.passed(mark);
      removed.catch(() => {}); // thrown below, unless writing failed already
      await append(session, Buffer.alloc(0), { [headerOf.gone]: id, [headerOf.mark]: mark });
      return removed;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const index = await this.#opening?.catch(() => undefined);
    await index?.close();
  }

  async #fresh(session: Session): Promise<LetterIndex> {
    const index = await this.#index(session);
    await index.freshen();
    return index;
  }

  async #index(session: Session): Promise<LetterIndex> {
    for (;;) {
      if (this.#closed) throw closedError();
      const opening = this.#opening;
      const index = await opening?.catch(() => undefined); // who opened it has been told
      if (index && !index.isOver) return index;
      if (this.#opening !== opening) continue; // somebody else opens another just now
      this.#opening = LetterIndex.open(session);
      return this.#opening;
    }
  }
}

function append(
  session: Session,
  content: Buffer,
  headers: Readonly<Record<string, unknown>>,
): Promise<void> {
  const options = { persistent: true, mandatory: true, contentType: "application/json", headers };
  return session.outlet.sendAgain({ exchange: "", key: session.names.dead, content, options });
}

/** What lies between two offsets, both inclusive. */
async function* messagesFrom(
  session: Session,
  first: number,
  last: number,
): AsyncGenerator<RabbitMessageLike, void, undefined> {
  const { clock, requestTimeoutMs } = session.settings;
  const cursor = await session.patiently("read dead letters", () =>
    LogCursor.open(session, offsetStart(first), session.names.dead),
  );
  try {
    for (let at = first; at <= last;) {
      const waiting = new AbortController();
      const cancel = clock.after(requestTimeoutMs, () => waiting.abort());
      const page = await cursor.next(undefined, waiting.signal);
      cancel();
      if (page.length === 0) throw timeoutError(session.url, "read", requestTimeoutMs);
      for (const message of page) {
        at = offsetOf(message) + 1;
        if (at - 1 > last) return;
        yield message;
      }
    }
  } finally {
    await cursor.close();
  }
}

function decodeLetter(message: RabbitMessageLike): DeadLetter {
  return freezeJson(JSON.parse(message.content.toString("utf8")) as DeadLetter); // written by `put`
}
