/** A process that runs a team on the log at `URL`; its agent takes a task and never ends it. */
import { startCadre } from "cadre/agents";
import { noteEvents } from "../note-team.ts";
import { stuckWriter } from "./stuck-writer.ts";

const [url] = process.argv.slice(2);
const agents = [stuckWriter(() => process.send?.("started"))];
await startCadre({ agents, events: noteEvents, name: "stuck", store: url!, orchestrator: false });
process.send?.("ready");
