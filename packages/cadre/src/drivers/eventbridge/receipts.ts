import { BatchDesk } from "./batch-desk.ts";
import type { BatchAnswer, CallOptions } from "./client.ts";
import { isMissing, isPassingCode } from "./eventbridge-error.ts";
import { failures } from "./sending.ts";
import type { Session } from "./session.ts";

/** How long SQS hides a message: twelve hours, less what its handling has taken already. */
export const maxInvisibleMs: number = 11 * 3_600_000;

type Answer = "ok" | "lost" | Error;

/** What is said about messages in one's hands, ten at a time. */
export class ReceiptDesk {
  readonly #session: Session;
  readonly #url: string;
  readonly #deletes: BatchDesk<string, Answer>;
  readonly #hides: BatchDesk<{ readonly receipt: string; readonly seconds: number }, Answer>;

  /** @param deleteMs how long a delete may wait for others, to share their request */
  constructor(session: Session, url: string, deleteMs: number = 0) {
    this.#session = session;
    this.#url = url;
    const { clock } = session.settings;
    this.#deletes = new BatchDesk({
      send: (receipts) => this.#deleteAll(receipts),
      ...(deleteMs > 0 ? { patience: { clock, ms: deleteMs } } : {}),
    });
    this.#hides = new BatchDesk({ send: (items) => this.#hideAll(items) });
  }

  async delete(receipt: string): Promise<"ok" | "lost"> {
    return orThrow(await this.#deletes.ask(receipt));
  }

  /** Hides the message for so long from now on; 0 shows it. */
  async hide(receipt: string, seconds: number): Promise<"ok" | "lost"> {
    return orThrow(await this.#hides.ask({ receipt, seconds }));
  }

  async #deleteAll(receipts: readonly string[]): Promise<readonly Answer[]> {
    const Entries = receipts.map((ReceiptHandle, at) => ({ Id: String(at), ReceiptHandle }));
    return this.#ask("delete messages", receipts.length, (options) =>
      this.#session.clients.queues.deleteMessageBatch({ QueueUrl: this.#url, Entries }, options),
    );
  }

  async #hideAll(
    items: readonly { readonly receipt: string; readonly seconds: number }[],
  ): Promise<readonly Answer[]> {
    const Entries = items.map(({ receipt, seconds }, at) => {
      return { Id: String(at), ReceiptHandle: receipt, VisibilityTimeout: seconds };
    });
    return this.#ask("hide messages", items.length, (options) =>
      this.#session.clients.queues.changeMessageVisibilityBatch(
        { QueueUrl: this.#url, Entries },
        options,
      ),
    );
  }

  async #ask(
    what: string,
    count: number,
    operation: (options: CallOptions) => Promise<BatchAnswer>,
  ): Promise<readonly Answer[]> {
    try {
      return answersOf(count, await this.#session.patiently(what, operation));
    } catch (error) {
      if (!isMissing(error)) throw error;
      return Array.from({ length: count }, () => "lost"); // with its queue
    }
  }
}

/** A receipt that is refused is one of a message that others have, or nobody. */
function answersOf(count: number, answer: BatchAnswer): readonly Answer[] {
  const failed = failures(answer);
  return Array.from({ length: count }, (_, at): Answer => {
    const error = failed.get(String(at));
    if (!error) return "ok";
    return isPassingCode(error.name) ? error : "lost";
  });
}

function orThrow(answer: Answer): "ok" | "lost" {
  if (answer instanceof Error) throw answer;
  return answer;
}
