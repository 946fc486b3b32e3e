import type { DeadLetter, DeadLetterBox, DeadLetterQuery } from "../../bus/transport.ts";
import { freezeJson } from "../../core/json.ts";
import { compilePattern } from "../../core/pattern.ts";
import type { Connection } from "./connection.ts";
import { toStoredText } from "./stored-text.ts";

const pageRows = 100; // letters carry whole events

/** Dead letters in the log's database. There is no bound but the disk. */
export class PostgresDeadLetters implements DeadLetterBox {
  readonly #connection: () => Promise<Connection>;

  constructor(connection: () => Promise<Connection>) {
    this.#connection = connection;
  }

  async put(letter: DeadLetter): Promise<void> {
    const connection = await this.#connection();
    await connection.query(
      `INSERT INTO ${connection.settings.schema}.dead_letters
         (id, group_name, reason, type, letter) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (id) DO UPDATE SET
         reason = excluded.reason, type = excluded.type, letter = excluded.letter`,
      [
        toStoredText(letter.id),
        toStoredText(letter.group),
        letter.reason,
        letter.event?.type ?? null,
        JSON.stringify(letter),
      ],
    );
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    const connection = await this.#connection();
    const text = await connection.value(
      `SELECT letter FROM ${connection.settings.schema}.dead_letters WHERE id = $1`,
      [toStoredText(id)],
    );
    return text === null ? undefined : toLetter(text);
  }

  async *list(query: DeadLetterQuery = {}): AsyncIterable<DeadLetter> {
    const connection = await this.#connection();
    const { type, reason = null } = query;
    const group = query.group === undefined ? null : toStoredText(query.group);
    const isType = type === undefined ? undefined : compilePattern(type);
    let left = query.limit ?? Infinity;
    for (let after = 0; left > 0;) {
      const rows = await connection.query(
        `SELECT no, type, letter FROM ${connection.settings.schema}.dead_letters
         WHERE no > $1 AND ($2::text IS NULL OR group_name = $2)
           AND ($3::text IS NULL OR reason = $3)
         ORDER BY no LIMIT ${pageRows}`,
        [after, group, reason],
      );
      for (const [no, letterType, letter] of rows) {
        after = Number(no);
        if (isType && (letterType === null || !isType(String(letterType)))) continue;
        yield toLetter(letter);
        left -= 1;
        if (left === 0) return;
      }
      if (rows.length < pageRows) return;
    }
  }

  async remove(id: string): Promise<boolean> {
    const connection = await this.#connection();
    const rows = await connection.query(
      `DELETE FROM ${connection.settings.schema}.dead_letters WHERE id = $1 RETURNING no`,
      [toStoredText(id)],
    );
    return rows.length > 0;
  }
}

function toLetter(text: unknown): DeadLetter {
  return freezeJson(JSON.parse(String(text)) as DeadLetter); // written by `put`
}
