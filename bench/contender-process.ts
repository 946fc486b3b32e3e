/** One contender in one scenario, in its own process. It runs a round whenever it is told to. */
import type { Row } from "./row.ts";

const [rowName = "", contender = "", scenario = ""] = process.argv.slice(2);
const { row } = (await import(`./rows/${rowName}.ts`)) as { readonly row: Row };
const running = await row.contenders[contender]!.start(scenario);

async function answer(message: unknown): Promise<void> {
  if (message === "close") {
    await running.close?.();
    process.exit(0);
  }
  globalThis.gc?.();
  process.send!({ figures: await running.round() });
}

process.on("message", (message) => {
  answer(message).catch((error: unknown) => {
    process.send!({
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  });
});
process.send!({ ready: true });
process.on("disconnect", () => process.exit(1));
