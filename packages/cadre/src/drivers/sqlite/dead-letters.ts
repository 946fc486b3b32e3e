import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "../../bus/transport.ts";
import { freezeJson } from "../../core/json.ts";
import { compilePattern } from "../../core/pattern.ts";
import type { LogFile } from "./sqlite-log.ts";

const pageRows = 100; // letters carry whole events

/** Dead letters in the file. There is no bound but the disk. */
export class SqliteDeadLetters implements DeadLetterBox {
  readonly #file: LogFile;

  constructor(file: LogFile) {
    this.#file = file;
  }

  put(letter: DeadLetter): Promise<void> {
    const text = JSON.stringify(letter);
    return this.#file.writer.write({
      toDisk: true,
      events: [],
      run: ({ connection }) => {
        connection.sql("DELETE FROM dead_letters WHERE id = ?").run(letter.id);
        connection
          .sql(
            "INSERT INTO dead_letters (id, group_name, reason, type, letter) VALUES (?, ?, ?, ?, ?)",
          )
          .run(letter.id, letter.group, letter.reason, letter.event?.type ?? null, text);
      },
    });
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    this.#file.assertOpen();
    const { connection } = this.#file;
    const statement = connection.sql("SELECT letter FROM dead_letters WHERE id = ?");
    const row = statement.get(id);
    return row && toLetter(row[0]);
  }

  async *list(query: DeadLetterQuery = {}): AsyncIterable<DeadLetter> {
    const { group = null, reason = null, type } = query;
    const isType = type === undefined ? undefined : compilePattern(type);
    const { connection, settings } = this.#file;
    let left = query.limit ?? Infinity;
    for (let after = 0; left > 0;) {
      this.#file.assertOpen();
      const statement = connection.sql(
        `SELECT no, type, letter FROM dead_letters
         WHERE no > ?1 AND (?2 IS NULL OR group_name = ?2) AND (?3 IS NULL OR reason = ?3)
         ORDER BY no LIMIT ${pageRows}`,
      );
      const rows = statement.all(after, group, reason);
      for (const [no, letterType, letter] of rows) {
        after = Number(no);
        if (isType && (letterType === null || !isType(String(letterType)))) continue;
        yield toLetter(letter);
        left -= 1;
        if (left === 0) return;
      }
      if (rows.length < pageRows) return;
      await settings.clock.yield();
    }
  }

  remove(id: string): Promise<boolean> {
    return this.#file.writer.write({
      toDisk: true,
      events: [],
      run: ({ connection }) => connection.sql("DELETE FROM dead_letters WHERE id = ?").run(id) > 0,
    });
  }
}

function toLetter(text: unknown): DeadLetter {
  return freezeJson(JSON.parse(String(text)) as DeadLetter); // written by `put`
}
