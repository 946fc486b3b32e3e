/** Scenarios that a bus and a client used by hand go through alike, each checking its own work. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, percentile, type Figures, type Running } from "../row.ts";
import { batchLanes, batchSize, indexOf, type Member, type Side } from "./side.ts";

export const scenarioNames = ["batches", "one at a time", "round trip", "latency", "idle", "soak"];

const fewest = 1_000;
const most = 20_000; // events of a round, so that a server in memory does not fill it
const deliveryLimitMs = 40_000;
const calibrationMs = 1_000;
const calibrationLanes = 100;
const soakBacklog = 5_000; // events that the publisher may be ahead of the consumer
const soakRoundMs = 5_000;
const warmUps = 2; // rounds that the contest throws away

interface Watch {
  /** Resolves when `count` events from `from` on have been delivered. */
  readonly done: Promise<void>;
  readonly handle: Parameters<Side["consume"]>[0];
  /** Of the first and the last delivery. */
  readonly at: { first: number; last: number };
}

/** Every event once and no other. */
function watch(from: number, count: number): Watch {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const seen = new Uint8Array(count);
  const at = { first: 0, last: 0 };
  let delivered = 0;
  const limit = setTimeout(() => {
    reject(new Error(`${delivered} of ${count} events were delivered in time`));
  }, deliveryLimitMs);
  promise.finally(() => clearTimeout(limit)).catch(() => {});
  return {
    done: promise,
    at,
    handle(payload) {
      const index = indexOf(payload) - from;
      if (seen[index] !== 0) reject(new Error(`event ${index + from} was not expected (again)`));
      seen[index] = 1;
      if (delivered === 0) at.first = performance.now();
      delivered += 1;
      if (delivered < count) return;
      at.last = performance.now();
      resolve();
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Publishes a backlog, then consumes it. */
class Backlog {
  readonly #side: Side;
  #next = 0;

  constructor(side: Side) {
    this.#side = side;
  }

  async join(): Promise<void> {
    const member = await this.#side.consume(indexOf);
    await member.stop();
  }

  /** @returns per second, and the processor time of one event in this process */
  async publish(count: number, lanes: number, size: number): Promise<Figures> {
    const end = this.#next + count;
    const from = cpuMs();
    const startedAt = performance.now();
    const lane = async (): Promise<void> => {
      while (this.#next < end) {
        const first = this.#next;
        this.#next = Math.min(end, first + size);
        await this.#side.publish(first, this.#next);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    const perSecond = (count * 1_000) / (performance.now() - startedAt);
    return { published: perSecond, publishUs: ((cpuMs() - from) * 1_000) / count };
  }

  /** One after the other for so long. */
  async publishFor(ms: number): Promise<Figures & { readonly count: number }> {
    const start = performance.now();
    const times: number[] = [];
    for (let last = start; last - start < ms && times.length < most;) {
      await this.#side.publish(this.#next, this.#next + 1);
      this.#next += 1;
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    const count = times.length;
    const published = (count * 1_000) / (performance.now() - start);
    return { count, published, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
  }

  /** The rate is from the first delivery to the last: joining and leaving are not in it. */
  async consume(count: number): Promise<Figures> {
    const { done, handle, at } = watch(this.#next - count, count);
    const member = await this.#side.consume(handle);
    const from = cpuMs();
    await done;
    const consumeUs = ((cpuMs() - from) * 1_000) / count;
    await member.stop();
    return { consumed: (count * 1_000) / (at.last - at.first), consumeUs };
  }
}

async function batches(side: Side, seconds: number): Promise<Running> {
  const backlog = new Backlog(side);
  await backlog.join();
  let count = fewest;
  return {
    async round() {
      const published = await backlog.publish(count, batchLanes, batchSize);
      const consumed = await backlog.consume(count);
      const slower = Math.min(published["published"]!, consumed["consumed"]!);
      count = Math.max(fewest, Math.min(most, Math.round((slower * seconds) / 1_000) * 1_000));
      return { ...published, ...consumed };
    },
    close: () => side.close(),
  };
}

async function oneAtATime(side: Side, seconds: number): Promise<Running> {
  const backlog = new Backlog(side);
  await backlog.join();
  return {
    async round() {
      const { count, ...figures } = await backlog.publishFor(seconds * 1_000);
      await backlog.consume(count);
      return figures;
    },
    close: () => side.close(),
  };
}

function roundTrip(side: Side, seconds: number): Running {
  return {
    async round() {
      const times: number[] = [];
      for (const end = performance.now() + seconds * 1_000; performance.now() < end;) {
        const n = times.length;
        const startedAt = performance.now();
        check("answer", await side.double!(n), 2 * n);
        times.push(performance.now() - startedAt);
      }
      return { p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99), count: times.length };
    },
    close: () => side.close(),
  };
}

/**
 * From the call of publish to the handler, at half of the rate that the slowest of those that are
 * compared is capable of: each leaves its highest rate in a folder that they share.
 */
async function latency(side: Side, seconds: number): Promise<Running> {
  const open = new OpenLoop(side);
  const folder = process.env["CADRE_BENCH_RATES"]!;
  await open.join();
  let round = 0;
  return {
    async round() {
      round += 1;
      if (round <= warmUps) {
        const highest = await open.highestRate();
        writeFileSync(join(folder, String(process.pid)), String(highest));
      }
      const rates = readdirSync(folder).map((name) => readFileSync(join(folder, name), "utf8"));
      const rate = Math.min(...rates.map(Number)) / 2;
      return { ...(await open.at(rate, round <= warmUps ? 0.1 : seconds)), rate };
    },
    close: () => open.close(),
  };
}

/** Publishes whether or not what was published before has arrived. */
class OpenLoop {
  readonly #side: Side;
  #member: Member | undefined;
  #next = 0;
  #handle: Watch["handle"] = indexOf;

  constructor(side: Side) {
    this.#side = side;
  }

  async join(): Promise<void> {
    this.#member = await this.#side.consume((payload) => this.#handle(payload));
  }

  /** Of so many publishers, each waiting for its own answer, until all has been delivered. */
  async highestRate(): Promise<number> {
    const from = this.#next;
    let delivered = 0;
    this.#handle = () => (delivered += 1);
    const startedAt = performance.now();
    const lane = async (): Promise<void> => {
      while (performance.now() - startedAt < calibrationMs) await this.#publish();
    };
    await Promise.all(Array.from({ length: calibrationLanes }, lane));
    while (delivered < this.#next - from && performance.now() - startedAt < deliveryLimitMs) {
      await pause(1);
    }
    check("events", delivered, this.#next - from);
    return (delivered * 1_000) / (performance.now() - startedAt);
  }

  async at(rate: number, seconds: number): Promise<Figures> {
    const count = Math.ceil(rate * seconds);
    const from = this.#next;
    const sentAt = new Float64Array(count);
    const times: number[] = [];
    const { done, handle } = watch(from, count);
    this.#handle = (payload) => {
      times.push(performance.now() - sentAt[payload.index - from]!);
      handle(payload);
    };
    const published: Promise<void>[] = [];
    for (const startedAt = performance.now(); published.length < count;) {
      const due = Math.min(count, ((performance.now() - startedAt) * rate) / 1_000);
      while (published.length < due) {
        sentAt[published.length] = performance.now();
        published.push(this.#publish());
      }
      await pause(1);
    }
    await Promise.all([...published, done]);
    return { p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
  }

  async close(): Promise<void> {
    await this.#member?.stop();
    await this.#side.close();
  }

  #publish(): Promise<void> {
    this.#next += 1;
    return this.#side.publish(this.#next - 1, this.#next);
  }
}

/** Measured once, in the first round that counts. */
async function idle(side: Side, ms: number): Promise<Running> {
  let round = 0;
  let percent = 0;
  await side.idle!();
  return {
    async round() {
      round += 1;
      if (round === warmUps + 1) {
        const before = cpuMs();
        await pause(ms);
        percent = ((cpuMs() - before) / ms) * 100;
      }
      return { cpuPercent: percent };
    },
    close: () => side.close(),
  };
}

/** Publishes and consumes as fast as it goes; what it holds is looked at after a collection. */
async function soak(side: Side): Promise<Running> {
  let published = 0;
  let delivered = 0;
  const member: Member = await side.consume((payload) => {
    indexOf(payload);
    delivered += 1;
  });
  return {
    async round() {
      const rssMb = process.memoryUsage().rss / 1_048_576;
      const heapMb = process.memoryUsage().heapUsed / 1_048_576;
      const before = published;
      const startedAt = performance.now();
      const lane = async (): Promise<void> => {
        while (performance.now() - startedAt < soakRoundMs) {
          if (published - delivered > soakBacklog) {
            await pause(1);
            continue;
          }
          const from = published;
          published += batchSize;
          await side.publish(from, published);
        }
      };
      await Promise.all(Array.from({ length: batchLanes }, lane));
      const end = performance.now() + deliveryLimitMs;
      while (delivered < published && performance.now() < end) await pause(10);
      check("events", delivered, published);
      const perSecond = ((published - before) * 1_000) / (performance.now() - startedAt);
      return { perSecond, rssMb, heapMb };
    },
    async close() {
      await member.stop();
      await side.close();
    },
  };
}

export const soakRoundSeconds: number = soakRoundMs / 1_000;

export async function run(scenario: string, side: Side): Promise<Running> {
  const seconds = Number(process.env["CADRE_BENCH_SECONDS"] ?? 2);
  switch (scenario) {
    case "batches":
      return batches(side, seconds);
    case "one at a time":
      return oneAtATime(side, seconds);
    case "round trip":
      return roundTrip(side, seconds);
    case "latency":
      return latency(side, seconds);
    case "idle":
      return idle(side, Number(process.env["CADRE_BENCH_IDLE_SECONDS"] ?? 10) * 1_000);
    default:
      return soak(side);
  }
}
