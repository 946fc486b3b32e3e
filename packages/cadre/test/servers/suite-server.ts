import { after, test } from "node:test";
import type { Transport } from "cadre";
import { transportConformance } from "cadre/testing";
import type { OwnServer } from "./own-server.ts";

export interface ServerSuite {
  /** Names the address of a server that runs already; the checks then cannot restart it. */
  readonly variable: string;
  /** Where the server's program is. */
  readonly path: string | undefined;
  /** Stopped after the tests. */
  readonly start: () => Promise<OwnServer>;
  readonly open: (url: string) => Transport;
}

/** The suite of the transports on a real server; skipped where there is none. */
export async function suiteOnServer({ variable, path, start, open }: ServerSuite): Promise<void> {
  const told = process.env[variable];
  if (told) {
    await transportConformance({ test, createTransport: () => open(told) });
    return;
  }
  if (path === undefined) {
    const skip = `its server is not here, and ${variable} names none`;
    test("the suite on a real server", { skip }, () => {});
    return;
  }
  const server = await start();
  after(() => server.stop());
  await transportConformance({
    test,
    createTransport: () => open(server.url),
    restart: () => server.restart(),
  });
}
