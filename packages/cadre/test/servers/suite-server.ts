import { after } from "node:test";
import type { OwnServer } from "./own-server.ts";

/** The server that a suite runs on. */
export interface SuiteServer {
  readonly url: string;
  /** Only of a server that is the suite's own. */
  readonly restart?: () => Promise<void>;
}

/**
 * The server that `variable` names, which runs already; else one that is started now and stopped
 * after the tests.
 */
export async function suiteServer(
  variable: string,
  start: () => Promise<OwnServer>,
): Promise<SuiteServer> {
  const told = process.env[variable];
  if (told !== undefined && told !== "") return { url: told };
  const server = await start();
  after(() => server.stop());
  return { url: server.url, restart: () => server.restart() };
}

/** Why a suite cannot run: its server is neither here nor told of. */
export function suiteSkip(variable: string, path: string | undefined): string | undefined {
  if (path !== undefined || process.env[variable]) return undefined;
  return `its server is not here, and ${variable} names none`;
}
