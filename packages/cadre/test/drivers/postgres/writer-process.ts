/**
 * A process that writes: `URL COUNT NAME`. It opens the log, commits events one by one and several
 * at once, prints the id of each that is written, and ends.
 */
import { openPostgres } from "cadre/postgres";
import { noted } from "./noted.ts";

const [url, count, name] = process.argv.slice(2);
const log = await openPostgres(url!);
let left = Number(count);
await Promise.all(
  Array.from({ length: 4 }, async () => {
    while (left > 0) {
      left -= 1;
      const event = noted({ by: name, text: "x".repeat(left % 300) });
      const appends = [{ stream: `of ${name}`, expectedVersion: "any" as const, events: [event] }];
      await log.store.commit(left % 2 ? { appends } : { outbox: [event] });
      process.stdout.write(`${event.id}\n`);
    }
  }),
);
await log.close();
