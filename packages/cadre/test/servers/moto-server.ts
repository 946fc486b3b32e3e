/**
 * A stand-in for EventBridge and SQS: moto, on a free port, or the one that
 * CADRE_TEST_EVENTBRIDGE_ENDPOINT names. It keeps all in memory: what is killed has lost it.
 */
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findServerByName } from "../../../../scripts/servers.ts";
import { endProcess, launch, startWithTries } from "./server-process.ts";
import { freePort } from "./temporary.ts";

export interface MotoServer {
  /** `http://HOST:PORT` */
  readonly endpoint: string;
  /** Of the process, where it is the test's own. */
  readonly pid: number | undefined;
  /** Ends the process. Doing it twice does nothing. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const script = join(dirname(fileURLToPath(import.meta.url)), "moto_server.py");

/** What the clients need beside the endpoint; the stand-in looks at neither. */
export const motoConnection = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
} as const;

function toldEndpoint(): string | undefined {
  const told = process.env["CADRE_TEST_EVENTBRIDGE_ENDPOINT"];
  return told === "" ? undefined : told;
}

/** Why there is no server, and its tests can't run; false where there is one. */
export function motoMissing(): string | false {
  const isThere = toldEndpoint() !== undefined || findServerByName("moto") !== undefined;
  return isThere ? false : "there is no moto; see scripts/servers.ts";
}

export async function startMotoServer(): Promise<MotoServer> {
  const told = toldEndpoint();
  if (told !== undefined) {
    const stop = async (): Promise<void> => {};
    return { endpoint: told, pid: undefined, stop, [Symbol.asyncDispose]: stop };
  }
  const program = findServerByName("moto");
  if (program === undefined) throw new Error("There is no moto; see scripts/servers.ts.");
  const python = join(dirname(program), "python");
  return startWithTries(async () => startOn(await freePort(), python));
}

/** Resolves when the server takes requests. */
async function startOn(port: number, python: string): Promise<MotoServer> {
  const child = await launch({
    name: `moto on port ${port}`,
    command: python,
    args: [script, String(port)],
    ready: { stream: "stdout", text: "ready" },
    timeoutMs: 30_000, // Python reads a hundred modules
  });
  const stop = (): Promise<void> => endProcess(child, "SIGKILL"); // there is nothing to put in order
  const endpoint = `http://127.0.0.1:${port}`;
  return { endpoint, pid: child.pid, stop, [Symbol.asyncDispose]: stop };
}
