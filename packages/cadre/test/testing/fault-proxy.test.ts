import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { isCadreError, systemClock } from "cadre";
import {
  SeededRandom,
  startFaultProxy,
  VirtualClock,
  type FaultProxy,
  type FaultProxyOptions,
} from "cadre/testing";
import { until } from "../until.ts";

interface Line {
  readonly proxy: FaultProxy;
  /** What the server has got so far. */
  readonly got: () => string;
  readonly serverSockets: Set<Socket>;
  open(): Promise<Client>;
}

interface Client {
  readonly socket: Socket;
  readonly heard: () => string;
  /** The code of the error that ended it, `end` when it ended in order; else undefined. */
  readonly over: () => string | undefined;
}

/** A server that says back what it hears, and a proxy before it. */
async function startLine(
  t: TestContext,
  options: Omit<FaultProxyOptions, "target"> & {
    readonly serve?: (socket: Socket) => void;
  } = {},
): Promise<Line> {
  let got = "";
  const serverSockets = new Set<Socket>();
  const echo = (socket: Socket): void => {
    socket.on("data", (bytes) => {
      got += bytes.toString();
      socket.write(bytes);
    });
  };
  const server: Server = createServer((socket) => {
    serverSockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => serverSockets.delete(socket));
    (options.serve ?? echo)(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const proxy = await startFaultProxy({ ...options, target: { port } });
  const clients: Socket[] = [];
  t.after(async () => {
    for (const socket of clients) socket.destroy();
    await proxy.close();
    for (const socket of serverSockets) socket.destroy();
    server.close();
  });
  const open = async (): Promise<Client> => {
    const socket = connect(proxy.port, proxy.host);
    clients.push(socket);
    let [heard, over] = ["", undefined as string | undefined];
    socket.on("data", (bytes) => (heard += bytes.toString()));
    socket.on("error", (error: NodeJS.ErrnoException) => (over = error.code));
    socket.on("end", () => (over ??= "end"));
    await once(socket, "connect").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET") throw error; // turned away while it connected
    });
    return { socket, heard: () => heard, over: () => over };
  };
  return { proxy, got: () => got, serverSockets, open };
}

test("what is said passes both ways, and is counted", async (t) => {
  const { proxy, open } = await startLine(t);
  const [first, second] = [await open(), await open()];
  first.socket.write("hello");
  second.socket.write("again");
  await until(() => first.heard() === "hello" && second.heard() === "again", "the echo");
  assert.deepEqual(proxy.counts, {
    opened: 2,
    refused: 0,
    open: 2,
    cut: 0,
    bytesToServer: 10,
    bytesToClient: 10,
  });
  first.socket.end();
  await until(() => proxy.counts.open === 1 && first.over() === "end", "the end in order");
  assert.equal(proxy.counts.bytesToServer, 10);
});

test("a cut ends every connection, with a reset or in order, and lets new ones in", async (t) => {
  const { proxy, open, serverSockets } = await startLine(t);
  for (const how of ["reset", "end"] as const) {
    const clients = [await open(), await open()];
    await until(() => serverSockets.size === 2, "both connections");
    proxy.cut(how);
    const over = how === "reset" ? "ECONNRESET" : "end";
    await until(() => clients.every((client) => client.over() === over), over);
    await until(() => serverSockets.size === 0, "the server's hearing of it");
  }
  assert.equal(proxy.counts.cut, 4);
  const client = await open();
  client.socket.write("on");
  await until(() => client.heard() === "on", "a connection afterwards");
});

test("refuse turns new connections away and leaves those that are there", async (t) => {
  const { proxy, open } = await startLine(t);
  const there = await open();
  there.socket.write("a");
  await until(() => there.heard() === "a", "the first echo");
  proxy.refuse();
  const turnedAway = await open();
  await until(() => turnedAway.over() !== undefined, "the refusal");
  there.socket.write("b");
  await until(() => there.heard() === "ab", "the second echo");
  proxy.accept();
  const later = await open();
  later.socket.write("c");
  await until(() => later.heard() === "c", "a connection afterwards");
  assert.deepEqual([proxy.counts.opened, proxy.counts.refused], [2, 1]);
});

test("a cut before the match keeps it from the server, on that connection alone", async (t) => {
  const { proxy, open, got } = await startLine(t);
  const [victim, other] = [await open(), await open()];
  const watch = proxy.cutNext({ direction: "toServer", match: "PUB" });
  other.socket.write("other ");
  victim.socket.write("INFO PUB 1");
  await watch.done;
  await until(() => victim.over() !== undefined, "the cut");
  await until(() => other.heard() === "other ", "the other's echo");
  await until(() => got().includes("INFO"), "what came before the match");
  assert.ok(!got().includes("PUB"), got());
  assert.equal(watch.count, 1);
  const again = await open();
  again.socket.write("PUB 2");
  await until(() => again.heard() === "PUB 2", "the next, which is not cut");
});

test("a cut after the match lets the server have it, and its answer is lost", async (t) => {
  const { proxy, open, got } = await startLine(t);
  const client = await open();
  const watch = proxy.cutNext({ direction: "toServer", match: "ACK", cut: "after" });
  client.socket.write("an ACK and more");
  await watch.done;
  await until(() => got() === "an ACK", "what passes");
  await until(() => client.over() === "ECONNRESET", "the sender's reset");
  assert.equal(client.heard(), "");
});

test("a cut after an answer lets the client have it", async (t) => {
  const { proxy, open } = await startLine(t);
  const client = await open();
  proxy.cutNext({ direction: "toClient", match: "+OK", cut: "after" });
  client.socket.write("+OK and more");
  await until(() => client.over() !== undefined, "the end");
  assert.equal(client.heard(), "+OK");
});

test("a match is found where it lies across packets", async (t) => {
  const { proxy, open, got } = await startLine(t);
  const client = await open();
  const watch = proxy.cutNext({ direction: "toServer", match: Buffer.from("split") });
  client.socket.write("..spl");
  await until(() => got() === "..spl", "the first half");
  client.socket.write("it..");
  await watch.done;
  await until(() => client.over() !== undefined, "the cut");
  assert.equal(got(), "..spl");
});

test("a cut comes after so many bytes, to the byte", async (t) => {
  const { proxy, open, got } = await startLine(t);
  const client = await open();
  const watch = proxy.cutNext({ direction: "toServer", afterBytes: 7 });
  client.socket.write("0123456789");
  await watch.done;
  await until(() => got() === "0123456", "the seven bytes");
});

test("a predicate, chance and a number of times choose the moments", async (t) => {
  const { proxy, open } = await startLine(t, { random: new SeededRandom(3) });
  const watch = proxy.cutNext({
    direction: "toClient",
    match: (bytes) => bytes.length === 3,
    oneIn: 4,
    times: 2,
  });
  let answers = 0;
  while (watch.count < 2) {
    const client = await open();
    client.socket.write("yes");
    await until(() => client.heard() === "yes" || client.over() !== undefined, "an outcome");
    if (client.heard() === "yes") answers += 1;
    client.socket.write("four");
    assert.ok(answers < 100, "one in four is cut");
  }
  await watch.done;
  assert.ok(answers > 0, "not every one is cut");
  for (const option of ["oneIn", "times"]) {
    assert.throws(
      () => proxy.cutNext({ direction: "toClient", [option]: 0 }),
      (error: unknown) => isCadreError(error, "INVALID_OPTION"),
    );
  }
});

test("a frozen connection looks open, is dead, and stays so after the thaw", async (t) => {
  const { proxy, open, got, serverSockets } = await startLine(t);
  const there = await open();
  there.socket.write("a");
  await until(() => there.heard() === "a", "the first echo");
  proxy.freeze();
  const late = await open();
  there.socket.write("lost");
  late.socket.write("lost");
  await systemClock.sleep(30);
  proxy.thaw();
  there.socket.write("still lost");
  const fresh = await open();
  fresh.socket.write("b");
  await until(() => fresh.heard() === "b", "a connection after the thaw");
  assert.equal(got(), "ab");
  assert.deepEqual([there.over(), late.over()], [undefined, undefined]);
  there.socket.end();
  await systemClock.sleep(20);
  assert.equal(serverSockets.size, 3, "the server never hears that the client has gone");
});

test("a stalled connection says later what was said meanwhile, in order", async (t) => {
  const { proxy, open, got } = await startLine(t);
  const client = await open();
  proxy.freeze("stall");
  client.socket.write("one ");
  await systemClock.sleep(20);
  client.socket.write("two");
  await systemClock.sleep(20);
  assert.equal(got(), "");
  proxy.thaw();
  await until(() => client.heard() === "one two", "what waited");
});

test("a slow line takes its latency each way, on the clock it is given", async (t) => {
  const clock = new VirtualClock();
  const { proxy, open, got } = await startLine(t, { clock });
  proxy.slow({ latencyMs: 2_000 });
  const client = await open();
  client.socket.write("hi");
  await systemClock.sleep(20);
  await clock.advance(1_999);
  assert.equal(got(), "");
  await clock.advance(1);
  await until(() => got() === "hi", "the way there");
  await systemClock.sleep(20);
  await clock.advance(1_999);
  assert.equal(client.heard(), "");
  await clock.advance(1);
  await until(() => client.heard() === "hi", "the way back");
});

test("a narrow line passes its bytes a second, and what waits goes at once when it is widened", async (t) => {
  const clock = new VirtualClock();
  const { proxy, open, got } = await startLine(t, { clock });
  proxy.slow({ bytesPerSecond: 1_000 });
  const client = await open();
  client.socket.write("x".repeat(3_000));
  await until(() => got().length === 50, "the first piece");
  for (let piece = 0; piece < 20; piece += 1) {
    await clock.advance(50);
    await systemClock.sleep(1);
  }
  await until(() => got().length >= 1_000, "a second's bytes");
  assert.ok(got().length <= 1_050, `${got().length} bytes in one second`);
  proxy.heal();
  await until(() => got().length === 3_000, "the rest");
});

test("a receiver that does not read stops the sender, and memory stays bounded", async (t) => {
  const serve = (socket: Socket): void => void socket.pause();
  const { proxy, open } = await startLine(t, { serve });
  const client = await open();
  const chunk = Buffer.alloc(65_536);
  let written = 0;
  let full = false;
  for (let n = 0; n < 2_000 && !full; n += 1) {
    full = await new Promise((resolve) => {
      const timer = systemClock.after(300, () => resolve(true));
      client.socket.write(chunk, () => {
        timer();
        resolve(false);
      });
    });
    if (!full) written += chunk.length;
  }
  assert.ok(full, `${written} bytes were taken for a receiver that reads nothing`);
  assert.ok(written - proxy.counts.bytesToServer < 16_000_000);
});

test("a server that is away ends its clients' connections", async (t) => {
  const { proxy, open, serverSockets } = await startLine(t);
  const client = await open();
  await until(() => serverSockets.size === 1, "the connection");
  for (const socket of serverSockets) socket.destroy();
  await until(() => client.over() === "end", "the server's end");
  await proxy.close();
  await proxy.close();
  assert.equal(proxy.counts.open, 0);
  await assert.rejects(open(), { code: "ECONNREFUSED" });
});

test("controls break and mend as the suite asks", async (t) => {
  const { proxy, open } = await startLine(t);
  const { cut, freeze, slow } = proxy.controls;
  const isUp = async (): Promise<boolean> => {
    const client = await open();
    client.socket.write("up");
    const end = systemClock.monotonic() + 100;
    while (client.heard() !== "up" && client.over() === undefined) {
      if (systemClock.monotonic() > end) return false;
      await systemClock.sleep(1);
    }
    return client.heard() === "up";
  };
  for (const fault of [cut, freeze, () => slow(300)]) {
    const mend = await fault();
    assert.equal(await isUp(), false);
    await mend();
    assert.equal(await isUp(), true);
  }
});
