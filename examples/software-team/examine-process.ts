/** `node examine-process.ts FOLDER` prints the health of the library in that folder, as JSON. */
import { examine } from "./examine.ts";
import { runTests } from "./test-run.ts";

const folder = process.argv[2] ?? ".";
process.stdout.write(JSON.stringify(examine(folder, await runTests(folder))));
