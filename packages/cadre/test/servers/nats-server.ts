/** A NATS server of the test's own, with JetStream on. */
import { findServerByName } from "../../../../scripts/servers.ts";
import { OwnServer, startInFolder } from "./own-server.ts";
import { launch } from "./server-process.ts";
import { freePort } from "./temporary.ts";

export type NatsServer = OwnServer;

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function natsServerPath(): string | undefined {
  return findServerByName("nats-server");
}

/**
 * Starts a server and waits until it takes connections.
 * @param more flags beside those for the port and the folder
 */
export function startNatsServer(more: readonly string[] = []): Promise<NatsServer> {
  const command = natsServerPath();
  if (command === undefined) throw new Error("There is no nats-server; see scripts/servers.ts.");
  return startInFolder(async (folder) => {
    const port = await freePort();
    const program = {
      name: `nats-server on port ${port}`,
      command,
      args: ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", folder, ...more],
      ready: { stream: "stderr", text: "Server is ready" },
      timeoutMs: 10_000,
    } as const;
    const url = `nats://127.0.0.1:${port}`;
    return OwnServer.start({ url, port, folder, launch: () => launch(program) });
  });
}
