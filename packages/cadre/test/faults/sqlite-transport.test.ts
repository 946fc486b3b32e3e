import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { transportConformance } from "#src/testing/transport-conformance.ts";
import { sqlite } from "cadre/sqlite";

const noConnection = "a file has no connection";
const folder = mkdtempSync(join(tmpdir(), "cadre-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

await transportConformance({
  test,
  createTransport: () => sqlite(join(folder, "log.db")),
  restart: async () => {}, // nothing runs but its connections, and the check opens new ones
  tier: "all",
  parallel: 10,
  leaseMs: 1_000,
  boundMs: 20_000,
  timeoutMs: 180_000,
  notApplicable: [
    ...["T-71", "T-72", "T-73"].map((check) => ({ check, reason: noConnection })),
    { check: "T-74", reason: "test/faults/sqlite-kill.test.ts kills processes at random instants" },
    { check: "T-77", reason: "test/drivers/sqlite/bad-file.test.ts fills a file system" },
  ],
});
