/**
 * Dead letters in a queue of their own.
 *
 * A queue cannot be looked at without taking: what is read is hidden from other readers for as long
 * as the reading takes, and shown again afterwards. Two who read at once may each see a part. SQS
 * keeps a letter for 14 days at most.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { letterMatcher } from "../../bus/letter-matcher.ts";
import type { Connected } from "../../bus/transport-life.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "../../bus/transport.ts";
import { freezeJson } from "../../core/json.ts";
import type { MessageLike } from "./client.ts";
import { makeQueue } from "./groups.ts";
import { ReceiptDesk } from "./receipts.ts";
import { sendOne } from "./sending.ts";
import type { Session } from "./session.ts";
import { maxCallBytes } from "./wire.ts";

interface Held {
  readonly letter: DeadLetter;
  readonly receipt: string;
  readonly sentAt: number;
}

const hiddenSeconds = 30;
const emptyAnswers = 2; // SQS asks a part of its servers each time
const spareBytes = 1_024;

export class EventbridgeDeadLetters implements DeadLetterBox {
  readonly #connected: Connected<Session>;
  #url: Promise<string> | undefined;
  /** One reader of this process at a time. */
  #reading: Promise<unknown> = Promise.resolve();

  constructor(connected: Connected<Session>) {
    this.#connected = connected;
  }

  put(letter: DeadLetter): Promise<void> {
    return this.#connected.use("write a dead letter", async (session) => {
      await this.#queue(session);
      await sendOne(session, session.names.dead, { body: encodeLetter(letter), attributes: {} });
    });
  }

  get(id: string): Promise<DeadLetter | undefined> {
    return this.#connected.use("read a dead letter", (session) =>
      this.#look(session, (held) => held.findLast(({ letter }) => letter.id === id)?.letter),
    );
  }

  async *list(query: DeadLetterQuery = {}): AsyncGenerator<DeadLetter, void, undefined> {
    const isAsked = letterMatcher(query);
    const letters = await this.#connected.use("list dead letters", (session) =>
      this.#look(session, (held) => newest(held).filter(isAsked)),
    );
    yield* letters.slice(0, query.limit ?? Infinity);
  }

  remove(id: string): Promise<boolean> {
    return this.#connected.use("remove a dead letter", (session) =>
      this.#look(session, async (held, receipts) => {
        const meant = held.filter(({ letter }) => letter.id === id);
        await Promise.all(meant.map(({ receipt }) => receipts.delete(receipt)));
        return meant.length > 0;
      }),
    );
  }

  /** Hands over all that is there, oldest first, and shows it again. */
  async #look<Result>(
    session: Session,
    use: (held: readonly Held[], receipts: ReceiptDesk) => Result | Promise<Result>,
  ): Promise<Result> {
    const before = this.#reading;
    const run = (async (): Promise<Result> => {
      await before.catch(() => {}); // its caller has been told
      const url = await this.#queue(session);
      const receipts = new ReceiptDesk(session, url);
      const held: Held[] = [];
      try {
        await takeAll(session, url, held);
        held.sort((left, right) => left.sentAt - right.sentAt);
        return await use(held, receipts);
      } finally {
        await Promise.all(held.map(({ receipt }) => receipts.hide(receipt, 0)));
      }
    })();
    this.#reading = run;
    return run;
  }

  #queue(session: Session): Promise<string> {
    const { retentionMs } = session.settings;
    const name = session.names.dead;
    this.#url ??= makeQueue(session, { name, mark: "DeadLetters", retentionMs }).catch(
      (error: unknown) => {
        this.#url = undefined;
        throw error;
      },
    );
    return this.#url;
  }
}

async function takeAll(session: Session, url: string, held: Held[]): Promise<void> {
  const seen = new Set<string>();
  for (let empty = 0; empty < emptyAnswers;) {
    const { Messages = [] } = await session.patiently("read dead letters", (options) =>
      session.clients.queues.receiveMessage(
        {
          QueueUrl: url,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 0,
          VisibilityTimeout: hiddenSeconds,
          MessageSystemAttributeNames: ["All"],
          MessageAttributeNames: ["All"],
        },
        options,
      ),
    );
    const fresh = Messages.filter(({ MessageId = "" }) => !seen.has(MessageId));
    if (fresh.length === 0) empty += 1;
    for (const message of fresh) {
      seen.add(message.MessageId ?? "");
      held.push(toHeld(message));
    }
  }
}

function toHeld(message: MessageLike): Held {
  const { Body = "", ReceiptHandle: receipt = "", Attributes } = message;
  return {
    letter: decodeLetter(Body),
    receipt,
    sentAt: Number(Attributes?.["SentTimestamp"] ?? 0),
  };
}

/** Of letters with one id the last. */
function newest(held: readonly Held[]): readonly DeadLetter[] {
  const letters = new Map<string, DeadLetter>();
  for (const { letter } of held) {
    letters.delete(letter.id);
    letters.set(letter.id, letter);
  }
  return [...letters.values()];
}

/** Packed where it is too large for a message; without its stack where even that does not help. */
function encodeLetter(letter: DeadLetter): string {
  const text = JSON.stringify(letter);
  if (Buffer.byteLength(text) + spareBytes <= maxCallBytes) return text;
  const packed = JSON.stringify({ gzip: gzipSync(text).toString("base64") });
  if (packed.length + spareBytes <= maxCallBytes) return packed;
  const { stack: _stack, ...error } = letter.error;
  return JSON.stringify({ ...letter, error: { ...error, message: error.message.slice(0, 1_000) } });
}

function decodeLetter(text: string): DeadLetter {
  const body = JSON.parse(text) as DeadLetter | { readonly gzip: string }; // written by `put`
  if (!("gzip" in body)) return freezeJson(body);
  const unpacked = gunzipSync(Buffer.from(body.gzip, "base64")).toString("utf8");
  return freezeJson(JSON.parse(unpacked) as DeadLetter);
}
