/**
 * A worker: a process with the whole team in it. Any number may run; the log says who does what.
 *
 *   node worker-process.ts FOLDER CREW
 */
import { startCadre } from "cadre/agents";
import { teamOf } from "./agents.ts";
import { teamEvents } from "./contract.ts";
import { Repository } from "./repository.ts";
import { storeOf, timing } from "./run-folder.ts";

const [folder = ".", crew = "north"] = process.argv.slice(2);
const team = await startCadre({
  name: crew,
  agents: teamOf(new Repository(folder), crew),
  store: storeOf(folder),
  events: teamEvents,
  ...timing,
});
const close = (): void => void team.close({ deadlineMs: 2_000 });
process.on("SIGTERM", close);
process.on("SIGINT", () => {}); // Ctrl-C reaches the whole group; the supervisor decides
process.on("disconnect", close); // it is gone: what runs here goes on when it is started again
if (!process.connected) close();
await team.closed;
process.exit();
