/**
 * A process of the kill test: runs the row projection of `counted-rows.ts` from the log LOG into the
 * database ROWS, until SIGKILL or the message "stop".
 */
import { DatabaseSync } from "node:sqlite";
import { sqliteClient, startRowProjection } from "cadre";
import { openSqlite } from "cadre/sqlite";
import { counted } from "./counted-rows.ts";

const [logPath, rowsPath] = process.argv.slice(2);
const log = await openSqlite(logPath!);
const rows = new DatabaseSync(rowsPath!, { timeout: 10_000 });
rows.exec("PRAGMA journal_mode = WAL");
const running = await startRowProjection(log.store, sqliteClient(rows), counted, { batchSize: 5 });

process.on("message", (message) => {
  if (message !== "stop") return;
  void running
    .close()
    .then(() => log.close())
    .then(() => process.disconnect());
});
process.send?.("ready");
