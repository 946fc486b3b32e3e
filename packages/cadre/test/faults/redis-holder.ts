/**
 * A process that takes what a subscription on Redis hands it and holds it: `URL SPEC`. Tells how
 * many it holds, each time there are more.
 */
import { redis } from "cadre/redis";
import type { ConsumeSpec } from "#src/bus/transport.ts";

const [url, text] = process.argv.slice(2);
const intake = await redis(url!).open(JSON.parse(text!) as ConsumeSpec);
const { signal } = new AbortController();
let held = 0;
process.send?.(held);
for (;;) {
  held += (await intake.pull(10, signal)).length;
  process.send?.(held);
}
