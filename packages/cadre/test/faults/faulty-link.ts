/** Stands between clients and a server: cuts them off, drops what they say, or slows it down. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { systemClock } from "cadre";

export interface FaultyLink {
  readonly port: number;
  /** Ends all connections and takes no more. Each returns what takes the fault away again. */
  cut(): Promise<() => Promise<void>>;
  /** Passes nothing on, on connections that look open; they never say anything again. */
  freeze(): Promise<() => Promise<void>>;
  /** All that is said takes `ms` longer in either direction. */
  slow(ms: number): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export async function startFaultyLink(toPort: number): Promise<FaultyLink> {
  const sockets = new Set<Socket>();
  const deaf = new Set<Socket>();
  let isCut = false;
  let isFrozen = false;
  let delayMs = 0;
  const endAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const pass = (from: Socket, to: Socket): void => {
    let before = Promise.resolve();
    sockets.add(from);
    from.on("data", (data) => {
      if (isFrozen) deaf.add(from).add(to);
      if (deaf.has(from)) return;
      if (delayMs === 0) {
        void before.then(() => to.write(data));
        return;
      }
      const arrival = systemClock.sleep(delayMs);
      before = before.then(() => arrival).then(() => void to.write(data));
    });
    from.on("error", () => {}); // `close` follows
    from.on("close", () => {
      sockets.delete(from);
      if (!deaf.has(from)) to.destroy();
    });
  };
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(toPort, "127.0.0.1");
    pass(near, far);
    pass(far, near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The link has no port.");
  return {
    port: address.port,
    cut: async () => {
      isCut = true;
      endAll();
      return async () => void (isCut = false);
    },
    freeze: async () => {
      isFrozen = true;
      for (const socket of sockets) deaf.add(socket);
      return async () => void (isFrozen = false);
    },
    slow: async (ms) => {
      delayMs = ms;
      return async () => void (delayMs = 0);
    },
    close: async () => {
      server.close();
      endAll();
      await once(server, "close");
    },
  };
}
