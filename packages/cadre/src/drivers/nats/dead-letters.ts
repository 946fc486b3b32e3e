import { letterMatcher } from "../../bus/letter-matcher.ts";
import type { Connected } from "../../bus/transport-life.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "../../bus/transport.ts";
import { freezeJson } from "../../core/json.ts";
import { LogCursor } from "./log-cursor.ts";
import type { Session } from "./session.ts";
import { letterSubject } from "./subjects.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const pageSize = 50; // letters carry whole events

/**
 * Dead letters in a stream that keeps the last message of each subject. There is no bound but the
 * disk.
 */
export class NatsDeadLetters implements DeadLetterBox {
  readonly #connected: Connected<Session>;

  constructor(connected: Connected<Session>) {
    this.#connected = connected;
  }

  put(letter: DeadLetter): Promise<void> {
    return this.#connected.use("write a dead letter", async (session) => {
      const subject = letterSubject(session.settings.prefix, letter.id);
      await session.store(subject, encodeLetter(letter, session.maxPayload ?? Infinity), {
        "Content-Type": "application/json",
      });
    });
  }

  get(id: string): Promise<DeadLetter | undefined> {
    return this.#connected.use("read a dead letter", async (session) => {
      const { keptStream, prefix } = session.settings;
      const data = await session.last(keptStream, letterSubject(prefix, id));
      return data && decodeLetter(data);
    });
  }

  async *list(query: DeadLetterQuery = {}): AsyncGenerator<DeadLetter, void, undefined> {
    const session = await this.#connected.connection();
    let left = query.limit ?? Infinity;
    if (left <= 0) return;
    const isAsked = letterMatcher(query);
    const { keptStream: stream, prefix } = session.settings;
    const subject = `${prefix}.k.d.>`;
    const cursor = await this.#connected.use("list dead letters", () =>
      LogCursor.open({ session, stream, subject }, { deliver_policy: "all" }),
    );
    try {
      for (let waiting = cursor.waiting; waiting > 0;) {
        const page = await cursor.nextOfKept(Math.min(pageSize, waiting));
        for (const { message, info } of page) {
          waiting = info.pending;
          const letter = decodeLetter(message.data);
          if (!isAsked(letter)) continue;
          yield letter;
          left -= 1;
          if (left === 0) return;
        }
        if (page.length === 0) return;
      }
    } finally {
      await cursor.close();
    }
  }

  remove(id: string): Promise<boolean> {
    return this.#connected.use("remove a dead letter", async (session) => {
      const { keptStream, prefix } = session.settings;
      const filter = letterSubject(prefix, id);
      const path = `STREAM.PURGE.${keptStream}`;
      const { purged } = await session.api<{ purged: number }>(path, { filter });
      return purged > 0;
    });
  }
}

/** The stack goes first where the letter is too large: the event counts for more. */
function encodeLetter(letter: DeadLetter, maxBytes: number): Uint8Array {
  const data = encoder.encode(JSON.stringify(letter));
  if (data.length + headerBytes <= maxBytes) return data;
  const { stack: _stack, ...error } = letter.error;
  const message = error.message.slice(0, 1_000);
  return encoder.encode(JSON.stringify({ ...letter, error: { ...error, message } }));
}

const headerBytes = 256; // more than the headers of a letter have

function decodeLetter(data: Uint8Array): DeadLetter {
  return freezeJson(JSON.parse(decoder.decode(data)) as DeadLetter); // written by `put`
}
