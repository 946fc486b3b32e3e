/** Teams that write notes: what both sides of a test know of them. */
import { defineEvents, type } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";

export const noteEvents = defineEvents({
  "note.written": type<{ text: string }>(),
  "note.read": type<{ text: string; of: string }>(),
});

export const WriteNote = defineTask({
  name: "note.write",
  input: type<{ text: string }>(),
  output: type<string>(),
});

export const writer = defineAgent({ name: "writer", capacity: 4 }).does(
  WriteNote,
  async ({ text }, ctx) => {
    await ctx.publish("note.written", { text });
    return `wrote ${text}`;
  },
);
