/**
 * A server of the test's own, with a folder that goes with it.
 *
 *   start ──▶ ready ──kill()──▶ down ──restart()──▶ ready (same port, same folder)
 *               └─────────────stop()─────────────▶ gone: process ended, folder removed
 */
import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { endProcess, startWithTries } from "./server-process.ts";
import { makeTempFolder } from "./temporary.ts";

export interface OwnServerParts {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  /** Resolves when the server takes connections. */
  readonly launch: () => Promise<ChildProcess>;
  /** @default `endProcess` */
  readonly end?: (child: ChildProcess, signal: NodeJS.Signals) => Promise<void>;
  /** What ends it in order. @default "SIGTERM" */
  readonly signal?: NodeJS.Signals;
  /** What ends it when its folder goes too. @default `signal` */
  readonly stopSignal?: NodeJS.Signals;
}

export class OwnServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly #parts: OwnServerParts;
  #child: ChildProcess | undefined;

  static async start(parts: OwnServerParts): Promise<OwnServer> {
    return new OwnServer(parts, await parts.launch());
  }

  constructor(parts: OwnServerParts, child: ChildProcess) {
    this.#parts = parts;
    this.#child = child;
    this.url = parts.url;
    this.port = parts.port;
    this.folder = parts.folder;
  }

  /** Of the process that runs now; undefined while it is down. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** SIGKILL: nothing is flushed. Resolves when the process is gone. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** Ends the process if it runs, in order, and starts another on the same port and folder. */
  async restart(): Promise<void> {
    await this.#end(this.#parts.signal);
    this.#child = await this.#parts.launch();
  }

  /** Ends the process and removes its folder. Doing it twice does nothing. */
  async stop(): Promise<void> {
    await this.#end(this.#parts.stopSignal ?? this.#parts.signal);
    await removeFolder(this.folder);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    const { end = endProcess } = this.#parts;
    if (child !== undefined) await end(child, signal);
  }
}

/** Starts what lives in a new folder; the folder of a try that failed is removed. */
export function startInFolder<Started>(
  start: (folder: string) => Promise<Started>,
): Promise<Started> {
  return startWithTries(async () => {
    const folder = await makeTempFolder();
    try {
      return await start(folder);
    } catch (error) {
      await removeFolder(folder);
      throw error;
    }
  });
}

function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 10 });
}
