/** A process that has a log open, with one event in it, until it is killed. */
import { createEvent, secureRandom, systemClock } from "cadre";
import { openSqlite } from "cadre/sqlite";

const log = await openSqlite(process.argv[2]!);
const context = { clock: systemClock, random: secureRandom, source: "holder" };
await log.store.commit({ outbox: [createEvent(context, "work.wanted", {})] });
process.send!("open");
process.on("message", () => {}); // stays
