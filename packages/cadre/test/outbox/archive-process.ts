/** An archiver in a process of its own: `URL FILE`. Says "ready" when it archives. */
import { openSqlite } from "cadre/sqlite";
import { startArchive } from "cadre/outbox";
import { openTransport } from "#src/agents/open-url.ts";
import { secureRandom, silentLogger, systemClock } from "cadre";

const [url, file] = process.argv.slice(2);
const context = { clock: systemClock, random: secureRandom, logger: silentLogger };
const { store } = await openSqlite(`sqlite:${file}`);
const transport = await openTransport(url!, context);
await startArchive({ transport, store, leaseMs: 1_000, batch: 50 });
process.send?.("ready");
