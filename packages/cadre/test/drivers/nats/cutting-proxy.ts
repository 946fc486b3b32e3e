/** Stands between clients and a server, and can cut them off. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface CuttingProxy {
  readonly port: number;
  /** Ends all connections and takes no more; the returned function takes them again. */
  cut(): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export async function startCuttingProxy(toPort: number): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const endAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(toPort, "127.0.0.1");
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      sockets.add(from);
      from.on("data", (data) => to.write(data));
      from.on("error", () => {}); // `close` follows
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
  return {
    port: address.port,
    cut: async () => {
      isCut = true;
      endAll();
      return async () => void (isCut = false);
    },
    close: async () => {
      server.close();
      endAll();
      await once(server, "close");
    },
  };
}
