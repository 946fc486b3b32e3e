import type { Connected } from "../../bus/transport-life.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "../../bus/transport.ts";
import { freezeJson } from "../../core/json.ts";
import { compilePattern } from "../../core/pattern.ts";
import { nameOf, offsetsAt, readPage, readRange, type Partition } from "./log-access.ts";
import type { Session } from "./session.ts";
import { internalTopic } from "./topics.ts";

/**
 * Dead letters in a compacted topic: the last message of each key counts, and one without a value
 * takes the letter away. There is no bound but the disk; what is kept here is where each letter
 * lies.
 */
export class KafkaDeadLetters implements DeadLetterBox {
  readonly #connected: Connected<Session>;
  /** Offsets by the letter's id, in the order of the letters. */
  readonly #offsets = new Map<string, number>();
  #next = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(connected: Connected<Session>) {
    this.#connected = connected;
  }

  put(letter: DeadLetter): Promise<void> {
    return this.#connected.use("keep a dead letter", async (session) => {
      const value = encodeLetter(letter, session.maxLetterBytes);
      await write(session, letter.id, value);
    });
  }

  get(id: string): Promise<DeadLetter | undefined> {
    return this.#connected.use("read a dead letter", async (session) => {
      await this.#catchUp(session);
      const offset = this.#offsets.get(id);
      return offset === undefined ? undefined : readLetter(session, offset);
    });
  }

  async *list(query: DeadLetterQuery = {}): AsyncGenerator<DeadLetter, void, undefined> {
    let left = query.limit ?? Infinity;
    if (left <= 0) return;
    const isAsked = askedFor(query);
    const session = await this.#connected.connection();
    await this.#connected.use("read the dead letters", () => this.#catchUp(session));
    for (const [id, offset] of [...this.#offsets]) {
      if (query.group !== undefined && !id.startsWith(`${query.group}/`)) continue;
      const letter = await this.#connected.use("read a dead letter", () =>
        readLetter(session, offset),
      );
      if (!letter || !isAsked(letter)) continue;
      yield letter;
      left -= 1;
      if (left === 0) return;
    }
  }

  remove(id: string): Promise<boolean> {
    return this.#connected.use("remove a dead letter", async (session) => {
      await this.#catchUp(session);
      if (!this.#offsets.has(id)) return false;
      await write(session, id, undefined);
      return true;
    });
  }

  /** One after the other: each reads to what is the end when it begins. */
  #catchUp(session: Session): Promise<void> {
    const reading = this.#reading.then(() => this.#read(session));
    this.#reading = reading.catch(() => {}); // its caller is told
    return reading;
  }

  async #read(session: Session): Promise<void> {
    const place = placeOf(session);
    const end = (await offsetsAt(session.cluster, [place], "end")).get(nameOf(place))!;
    for await (const page of readRange(session.cluster, place, this.#next, end)) {
      for (const { key, value, offset } of page) {
        const id = String(key ?? "");
        if (value === null || value.length === 0) this.#offsets.delete(id);
        else this.#offsets.set(id, offset);
      }
    }
    this.#next = Math.max(this.#next, end);
  }
}

function placeOf(session: Session): Partition {
  return { topic: internalTopic(session.settings, "letters"), partition: 0 };
}

async function write(session: Session, id: string, value: Uint8Array | undefined): Promise<void> {
  const headers = { "content-type": "application/json" };
  await session.producer.send({ ...placeOf(session), key: id, value, headers });
}

async function readLetter(session: Session, offset: number): Promise<DeadLetter | undefined> {
  const page = await readPage(session.cluster, { ...placeOf(session), offset });
  const record = page.records.find((item) => item.offset === offset);
  // Replaced and compacted away since: the later one is found at the next look.
  if (!record?.value) return undefined;
  return freezeJson(JSON.parse(String(record.value)) as DeadLetter); // written by `put`
}

/** The stack goes first where the letter is too large: the event counts for more. */
function encodeLetter(letter: DeadLetter, maxBytes: number): Uint8Array {
  const data = Buffer.from(JSON.stringify(letter));
  if (data.length <= maxBytes) return data;
  const { stack: _stack, ...error } = letter.error;
  const message = error.message.slice(0, 1_000);
  return Buffer.from(JSON.stringify({ ...letter, error: { ...error, message } }));
}

function askedFor({ group, reason, type }: DeadLetterQuery): (letter: DeadLetter) => boolean {
  const isType = type === undefined ? undefined : compilePattern(type);
  return (letter) => {
    if (group !== undefined && letter.group !== group) return false;
    if (reason !== undefined && letter.reason !== reason) return false;
    return !isType || (letter.event !== undefined && isType(letter.event.type));
  };
}
