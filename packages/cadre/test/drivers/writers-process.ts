/** A team in a process of its own: writes as many notes as it is told to, and tells everybody. */
import process from "node:process";
import { startCadre } from "cadre/agents";
import { noteEvents, WriteNote, writer } from "./note-team.ts";

const [bus, store] = process.argv.slice(2);
const team = await startCadre({
  agents: [writer],
  events: noteEvents,
  name: "writers",
  bus: bus!,
  store: store!,
});

process.on("message", (count) => {
  if (count === "end") {
    void team.close().then(() => process.disconnect());
    return;
  }
  void write(Number(count));
});
process.send!("ready");

async function write(count: number): Promise<void> {
  const inputs = Array.from({ length: count }, (_, n) => ({ text: `note ${n}` }));
  const handles = await team.tasks.createAll(
    inputs.map((input) => ({ definition: WriteNote, input })),
  );
  const results = await Promise.all(handles.map((handle) => handle.result()));
  process.send!(results);
}
