/**
 * The world of the order saga: stock, ledger and shipping in one SQLite file, outside of every
 * process. Every effect takes a key and is one transaction; the same key counts once.
 */
import { DatabaseSync } from "node:sqlite";
import { TerminalError } from "cadre";

const schema = `
  CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, left INTEGER NOT NULL CHECK (left >= 0));
  CREATE TABLE IF NOT EXISTS moves (key TEXT PRIMARY KEY, item TEXT NOT NULL, held INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS balances (
    account TEXT PRIMARY KEY,
    amount INTEGER NOT NULL CHECK (amount >= 0)
  );
  CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, account TEXT NOT NULL, amount INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS parcels (key TEXT PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS repeats (key TEXT PRIMARY KEY, times INTEGER NOT NULL);
`;

const shop = "shop";

export class OrderWorld {
  readonly #db: DatabaseSync;

  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec("PRAGMA busy_timeout = 20000; PRAGMA journal_mode = WAL;");
    this.#db.exec("PRAGMA synchronous = NORMAL;");
    this.#db.exec(schema);
  }

  fill(stock: number, accounts: number, amount: number): void {
    this.#transaction(() => {
      for (let item = 0; item < 10; item += 1) {
        this.#run("INSERT INTO stock VALUES (?, ?)", `item-${item}`, stock);
      }
      this.#run("INSERT INTO balances VALUES (?, 0)", shop);
      for (let account = 0; account < accounts; account += 1) {
        this.#run("INSERT INTO balances VALUES (?, ?)", `account-${account}`, amount);
      }
    });
  }

  reserve(key: string, item: string): void {
    this.#transaction(() => {
      if (this.#isRepeated("SELECT 1 FROM moves WHERE key = ?", key)) return;
      const taken = this.#run("UPDATE stock SET left = left - 1 WHERE item = ? AND left > 0", item);
      if (taken === 0) throw new TerminalError(`no ${item} is left`);
      this.#run("INSERT INTO moves VALUES (?, ?, 1)", key, item);
    });
  }

  release(key: string): void {
    this.#transaction(() => {
      const move = this.#db.prepare("SELECT item FROM moves WHERE key = ? AND held = 1").get(key);
      if (!move) return;
      this.#run("UPDATE moves SET held = 0 WHERE key = ?", key);
      this.#run("UPDATE stock SET left = left + 1 WHERE item = ?", String(move["item"]));
    });
  }

  charge(key: string, account: string, amount: number): void {
    this.#transaction(() => {
      if (this.#isRepeated("SELECT 1 FROM entries WHERE key = ?", key)) return;
      const paid = this.#run(
        "UPDATE balances SET amount = amount - ?1 WHERE account = ?2 AND amount >= ?1",
        amount,
        account,
      );
      if (paid === 0) throw new TerminalError(`${account} has less than ${amount}`);
      this.#run("UPDATE balances SET amount = amount + ? WHERE account = ?", amount, shop);
      this.#run("INSERT INTO entries VALUES (?, ?, ?)", key, account, amount);
    });
  }

  isCharged(key: string): boolean {
    return this.#db.prepare("SELECT 1 FROM entries WHERE key = ?").get(key) !== undefined;
  }

  refund(key: string): void {
    this.#transaction(() => {
      const refundKey = `${key}/refund`;
      if (this.#isRepeated("SELECT 1 FROM entries WHERE key = ?", refundKey)) return;
      const entry = this.#db.prepare("SELECT account, amount FROM entries WHERE key = ?").get(key);
      if (!entry) return;
      const { account, amount } = entry as { readonly account: string; readonly amount: number };
      this.#run("UPDATE balances SET amount = amount - ? WHERE account = ?", amount, shop);
      this.#run("UPDATE balances SET amount = amount + ? WHERE account = ?", amount, account);
      this.#run("INSERT INTO entries VALUES (?, ?, ?)", refundKey, account, -amount);
    });
  }

  ship(key: string): void {
    this.#transaction(() => {
      if (this.#isRepeated("SELECT 1 FROM parcels WHERE key = ?", key)) return;
      this.#run("INSERT INTO parcels VALUES (?)", key);
    });
  }

  /** What stands of one order: its goods, its money and its parcel. */
  standing(
    key: (step: string) => string,
  ): Record<"held" | "charged" | "refunded" | "shipped", boolean> {
    const has = (sql: string, value: string): boolean =>
      this.#db.prepare(sql).get(value) !== undefined;
    return {
      held: has("SELECT 1 FROM moves WHERE key = ? AND held = 1", key("reserve")),
      charged: has("SELECT 1 FROM entries WHERE key = ?", key("charge")),
      refunded: has("SELECT 1 FROM entries WHERE key = ?", `${key("charge")}/refund`),
      shipped: has("SELECT 1 FROM parcels WHERE key = ?", key("ship")),
    };
  }

  totals(): { money: number; goods: number; least: number; charges: number; repeats: number } {
    const sum = (sql: string): number => Number(this.#db.prepare(sql).get()?.["value"] ?? 0);
    return {
      money: sum("SELECT sum(amount) AS value FROM balances"),
      goods:
        sum("SELECT sum(left) AS value FROM stock") +
        sum("SELECT count(*) AS value FROM moves WHERE held = 1"),
      least: sum("SELECT min(left) AS value FROM stock"),
      charges: sum("SELECT count(*) AS value FROM entries WHERE amount > 0"),
      repeats: sum("SELECT sum(times) AS value FROM repeats"),
    };
  }

  close(): void {
    this.#db.close();
  }

  #isRepeated(sql: string, key: string): boolean {
    if (!this.#db.prepare(sql).get(key)) return false;
    const count = "INSERT INTO repeats VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1";
    this.#run(count, key);
    return true;
  }

  #run(sql: string, ...values: (string | number)[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes);
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
    this.#db.exec("COMMIT");
  }
}
