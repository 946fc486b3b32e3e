import { defineAgent, type AnyAgent } from "cadre/agents";
import { WriteNote } from "../note-team.ts";

/** Takes a task, says so, and never ends it. */
export function stuckWriter(onStart: () => void): AnyAgent {
  return defineAgent({ name: "stuck", capacity: 1 }).does(WriteNote, async () => {
    onStart();
    return new Promise<string>(() => {});
  });
}
