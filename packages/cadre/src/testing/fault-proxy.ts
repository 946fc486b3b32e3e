/**
 * Stands between clients and a server on loopback, and breaks their connections: cuts them at a
 * chosen byte, lets them look open and be dead, makes them slow. It works on bytes, so it suits
 * every protocol over TCP, encrypted ones too.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { systemClock, type Clock } from "../core/clock.ts";
import { secureRandom, type Random } from "../core/random.ts";
import type { CarrierControls } from "./conformance-check.ts";
import { CutPlan, type CutMoment, type CutWatch } from "./cut-plan.ts";
import { FaultPipe, type PipeWeather } from "./fault-pipe.ts";

export interface FaultProxyOptions {
  /** The server behind it. `host` is the loopback unless given. */
  readonly target: { readonly host?: string; readonly port: number };
  /** Port to listen on. @default a free one */
  readonly port?: number;
  /** @default the machine's */
  readonly clock?: Clock;
  /** Draws the moments of `oneIn`. @default the secure one */
  readonly random?: Random;
}

export interface FaultProxyCounts {
  /** Connections that were let in, in all: how often clients have connected again. */
  readonly opened: number;
  /** Connections that were turned away by `refuse`. */
  readonly refused: number;
  /** Connections that are open now, those that are dead included. */
  readonly open: number;
  /** Connections that were cut. */
  readonly cut: number;
  readonly bytesToServer: number;
  readonly bytesToClient: number;
}

export interface FaultProxy {
  readonly host: string;
  readonly port: number;
  readonly counts: FaultProxyCounts;
  /**
   * Ends all connections now: `reset`, as when a machine has crashed, or `end`, in order. New ones
   * are let in.
   * @default "reset"
   */
  cut(how?: "reset" | "end"): void;
  /** Cuts a connection when certain bytes pass on it. */
  cutNext(moment: CutMoment): CutWatch;
  /** Turns new connections away, with a reset, until `accept`. */
  refuse(): void;
  accept(): void;
  /**
   * All connections look open, old and new ones, and nothing passes until `thaw`. With `drop` what
   * is said is lost, and a connection that was there stays dead after `thaw`, as behind a firewall
   * that has forgotten it. With `stall` it waits, and passes after `thaw`.
   * @default "drop"
   */
  freeze(how?: "drop" | "stall"): void;
  thaw(): void;
  /**
   * Whatever passes takes so much longer in each direction, and no more bytes a second pass than
   * this. Without either it is fast again.
   */
  slow(how: { readonly latencyMs?: number; readonly bytesPerSecond?: number }): void;
  /** Takes every fault away. Connections that are dead stay so. */
  heal(): void;
  /** For `transportConformance`: cut and refuse, freeze, and slow, each until it is taken back. */
  readonly controls: Required<Pick<CarrierControls, "cut" | "freeze" | "slow">>;
  /** Ends all connections and listens no more. Closing twice is allowed. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a proxy on loopback before a server, which need not run yet. */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  return new LoopbackProxy(server, options);
}

class LoopbackProxy implements FaultProxy {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly #server: Server;
  readonly #target: FaultProxyOptions["target"];
  readonly #random: Random;
  readonly #weather: PipeWeather;
  readonly #connections = new Set<Connection>();
  readonly #ended = { toServer: 0, toClient: 0 };
  #refuses = false;
  #opened = 0;
  #refused = 0;
  #cut = 0;

  constructor(server: Server, { target, clock = systemClock, random }: FaultProxyOptions) {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
    this.port = address.port;
    this.#server = server;
    this.#target = target;
    this.#random = random ?? secureRandom;
    this.#weather = {
      clock,
      plans: new Set(),
      frozen: undefined,
      latencyMs: 0,
      bytesPerSecond: Infinity,
    };
    server.on("connection", (near) => this.#open(near));
  }

  get counts(): FaultProxyCounts {
    const passed = { ...this.#ended };
    for (const connection of this.#connections) add(passed, connection.passed);
    return {
      opened: this.#opened,
      refused: this.#refused,
      open: this.#connections.size,
      cut: this.#cut,
      bytesToServer: passed.toServer,
      bytesToClient: passed.toClient,
    };
  }

  cut(how: "reset" | "end" = "reset"): void {
    for (const connection of this.#connections) {
      this.#cut += 1;
      connection.end({ near: how, far: how });
    }
  }

  cutNext(moment: CutMoment): CutWatch {
    const { plans } = this.#weather;
    const plan = new CutPlan(moment, this.#random, (done) => plans.delete(done));
    plans.add(plan);
    return plan;
  }

  refuse(): void {
    this.#refuses = true;
  }

  accept(): void {
    this.#refuses = false;
  }

  freeze(how: "drop" | "stall" = "drop"): void {
    this.#weather.frozen = how;
    if (how === "drop") for (const connection of this.#connections) connection.deafen();
  }

  thaw(): void {
    this.#weather.frozen = undefined;
    for (const connection of this.#connections) connection.pump();
  }

  slow(how: { readonly latencyMs?: number; readonly bytesPerSecond?: number }): void {
    this.#weather.latencyMs = how.latencyMs ?? 0;
    this.#weather.bytesPerSecond = how.bytesPerSecond ?? Infinity;
    for (const connection of this.#connections) connection.pump();
  }

  heal(): void {
    for (const plan of this.#weather.plans) plan.cancel();
    this.accept();
    this.slow({});
    this.thaw();
  }

  readonly controls: FaultProxy["controls"] = {
    cut: async () => {
      this.refuse();
      this.cut();
      return async () => this.accept();
    },
    freeze: async () => {
      this.freeze();
      return async () => this.thaw();
    },
    slow: async (ms) => {
      this.slow({ latencyMs: ms });
      return async () => this.slow({});
    },
  };

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.end({ near: "reset", far: "reset" });
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(near: Socket): void {
    if (this.#refuses) {
      this.#refused += 1;
      near.on("error", () => {});
      near.resetAndDestroy();
      return;
    }
    this.#opened += 1;
    const { host = "127.0.0.1", port } = this.#target;
    const far = connect({ host, port, allowHalfOpen: true, noDelay: true });
    near.setNoDelay(true);
    const connection: Connection = new Connection(near, far, {
      weather: this.#weather,
      onCut: () => (this.#cut += 1),
      onClose: () => {
        add(this.#ended, connection.passed);
        this.#connections.delete(connection);
      },
    });
    this.#connections.add(connection);
  }
}

interface Passed {
  toServer: number;
  toClient: number;
}

function add(sum: Passed, more: Readonly<Passed>): void {
  sum.toServer += more.toServer;
  sum.toClient += more.toClient;
}

/** A client's connection and the one to the server that stands for it. */
class Connection {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #there: FaultPipe;
  readonly #back: FaultPipe;

  constructor(
    near: Socket,
    far: Socket,
    proxy: { weather: PipeWeather; onCut: () => void; onClose: () => void },
  ) {
    this.#near = near;
    this.#far = far;
    const cut = (whole: "near" | "far", passed: boolean): void => {
      proxy.onCut();
      const ends = { near: "reset", far: "reset" } as const;
      // Its receiver reads what was written, and then its end; a reset could overtake it.
      this.end(passed ? { ...ends, [whole]: "end" } : ends);
    };
    this.#there = new FaultPipe(
      { direction: "toServer", from: near, to: far, cut: ({ passed }) => cut("far", passed) },
      proxy.weather,
    );
    this.#back = new FaultPipe(
      { direction: "toClient", from: far, to: near, cut: ({ passed }) => cut("near", passed) },
      proxy.weather,
    );
    let open = 2;
    for (const [socket, other] of [[near, far] as const, [far, near] as const]) {
      socket.on("error", () => {}); // `close` follows
      socket.on("close", (hadError) => {
        if (hadError && !this.#there.isDeaf) other.resetAndDestroy();
        open -= 1;
        if (open === 0) proxy.onClose();
      });
    }
  }

  get passed(): Passed {
    return { toServer: this.#there.passedBytes, toClient: this.#back.passedBytes };
  }

  pump(): void {
    this.#there.pump();
    this.#back.pump();
  }

  deafen(): void {
    this.#there.deafen();
    this.#back.deafen();
  }

  end(how: { readonly near: "reset" | "end"; readonly far: "reset" | "end" }): void {
    this.#there.stop();
    this.#back.stop();
    for (const [socket, way] of [
      [this.#near, how.near],
      [this.#far, how.far],
    ] as const) {
      if (way === "reset") socket.resetAndDestroy();
      else socket.destroySoon();
    }
  }
}
