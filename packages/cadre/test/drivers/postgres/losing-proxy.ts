import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Random } from "#src/core/random.ts";

export interface LosingProxy {
  readonly port: number;
  /** Answers that were lost so far. */
  readonly lost: number;
  close(): Promise<void>;
}

/**
 * Stands before a server and loses one of `oneIn` answers: the server has done what was asked, and
 * the connection ends instead.
 */
export async function startLosingProxy(
  toPort: number,
  { random, oneIn }: { random: Random; oneIn: number },
): Promise<LosingProxy> {
  const sockets = new Set<Socket>();
  let lost = 0;
  const server = createServer((near) => {
    const far = connect(toPort, "127.0.0.1");
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      sockets.add(from);
      from.on("error", () => {}); // `close` follows
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => {
      if (random.integer(oneIn) > 0) {
        near.write(data);
        return;
      }
      lost += 1;
      far.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
  return {
    port: address.port,
    get lost() {
      return lost;
    },
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
