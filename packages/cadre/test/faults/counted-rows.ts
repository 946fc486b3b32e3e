/** Rows that show each event that was applied twice, or not at all. */
import { defineRowProjection, type RowProjection } from "cadre";

export const counted: RowProjection = defineRowProjection({
  name: "counted",
  patterns: ["work.done"],
  async setup(tx) {
    await tx.query("CREATE TABLE applied (position INTEGER, worker TEXT)");
    await tx.query("CREATE TABLE totals (worker TEXT PRIMARY KEY, amount INTEGER)");
  },
  async apply(tx, event, { position }) {
    const { worker, amount } = event.payload as { worker: string; amount: number };
    await tx.query("INSERT INTO applied VALUES (?, ?)", [position, worker]);
    await tx.query(
      `INSERT INTO totals VALUES (?, ?)
ON CONFLICT (worker) DO UPDATE SET amount = amount + excluded.amount`,
      [worker, amount],
    );
  },
});
