import { letterMatcher } from "../../bus/letter-matcher.ts";
import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "../../bus/transport.ts";
import { freezeJson } from "../../core/json.ts";
import { listLettersScript, putLetterScript, removeLetterScript } from "./lua-groups.ts";
import type { Session } from "./session.ts";

const pageSize = 50; // letters carry whole events

/** Dead letters in a hash beside the streams. There is no bound but the server's memory. */
export class RedisDeadLetters implements DeadLetterBox {
  readonly #open: () => Promise<Session>;

  constructor(open: () => Promise<Session>) {
    this.#open = open;
  }

  async put(letter: DeadLetter): Promise<void> {
    const session = await this.#open();
    await session.run("a dead letter", putLetterScript, [letter.id, JSON.stringify(letter)]);
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    const session = await this.#open();
    const json = await session.command("HGET", session.key("letters"), id);
    return typeof json === "string" ? decodeLetter(json) : undefined;
  }

  async *list(query: DeadLetterQuery = {}): AsyncGenerator<DeadLetter, void, undefined> {
    const session = await this.#open();
    let left = query.limit ?? Infinity;
    if (left <= 0) return;
    const isAsked = letterMatcher(query);
    for (let after = "-inf"; ;) {
      const args = [after, pageSize];
      const page = (await session.run("dead letters", listLettersScript, args)) as Buffer[];
      if (page.length === 0) return;
      for (let at = 0; at < page.length; at += 2) {
        after = String(page[at]);
        const letter = decodeLetter(String(page[at + 1]));
        if (!isAsked(letter)) continue;
        yield letter;
        left -= 1;
        if (left === 0) return;
      }
    }
  }

  async remove(id: string): Promise<boolean> {
    const session = await this.#open();
    return (await session.run("a dead letter's removal", removeLetterScript, [id])) === 1;
  }
}

function decodeLetter(json: string): DeadLetter {
  return freezeJson(JSON.parse(json) as DeadLetter); // written by `put`
}
