/**
 * A stand-in for EventBridge and SQS: moto, on a free port, or the one that
 * CADRE_TEST_EVENTBRIDGE_ENDPOINT names. It keeps all in memory: what is killed has lost it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findServerByName } from "../../../../scripts/servers.ts";
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

const readyTimeoutMs = 30_000; // Python reads a hundred modules
const startTries = 3; // between choosing a port and binding it, another process may take it
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
  for (let tries = 1; ; tries += 1) {
    const port = await freePort();
    try {
      return owned(await launch(join(dirname(program), "python"), port), port);
    } catch (error) {
      if (tries === startTries) throw error;
    }
  }
}

function owned(child: ChildProcess, port: number): MotoServer {
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL"); // there is nothing to put in order
    await exited;
  };
  const endpoint = `http://127.0.0.1:${port}`;
  return { endpoint, pid: child.pid, stop, [Symbol.asyncDispose]: stop };
}

/** Resolves when the server takes requests; rejects with what it said when it ends before. */
function launch(python: string, port: number): Promise<ChildProcess> {
  const child = spawn(python, [script, String(port)], { stdio: ["ignore", "pipe", "pipe"] });
  const killWithUs = (): boolean => child.kill("SIGKILL");
  process.once("exit", killWithUs);
  child.once("exit", () => process.removeListener("exit", killWithUs));
  return new Promise((resolve, reject) => {
    let log = "";
    const timer = setTimeout(() => fail("is not ready in time"), readyTimeoutMs);
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`moto on port ${port} ${what}:\n${log}`));
    };
    const onExit = (): void => fail("ended");
    child.once("error", (error) => fail(error.message));
    child.once("exit", onExit);
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-10_000); // read on, or a full pipe would stop the server
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (!text.includes("ready")) return;
      clearTimeout(timer);
      child.removeListener("exit", onExit);
      resolve(child);
    });
    // The server must not keep a test process alive that forgot to stop it.
    child.unref();
  });
}
