import { test } from "node:test";
import { transportConformance } from "#src/testing/transport-conformance.ts";
import { sqlite } from "cadre/sqlite";
import { temporaryFile } from "./temporary-file.ts";

const path = temporaryFile();

await transportConformance({
  test,
  createTransport: () => sqlite(path),
  restart: async () => {}, // nothing runs but its connections, and the check opens new ones
});
