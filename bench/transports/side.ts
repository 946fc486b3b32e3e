/** What is measured: a bus over a broker, or the broker's client used by hand. */

export const brokers = [
  "nats",
  "redis",
  "rabbitmq",
  "kafka",
  "postgres",
  "eventbridge", // on a stand-in, for information
] as const;
export type Broker = (typeof brokers)[number];

/** Deliveries that a consumer has open at once, and events that a batch has. */
export const inFlight = 100;
export const batchSize = 100;
/** Batches that are published at once. */
export const batchLanes = 10;

export interface Member {
  /** Ends the member when the broker has heard of everything that it has handled. */
  stop(): Promise<void>;
}

export interface Side {
  /**
   * Publishes the events `from` to `to`, as one batch where there are several. Resolves when the
   * broker has confirmed each.
   */
  publish(from: number, to: number): Promise<void>;
  /**
   * Joins the group, which is made before anything is published; acks each event after `handle`.
   */
  consume(handle: (payload: Kilobyte) => void): Promise<Member>;
  /** Doubles a number by a request that somebody else answers. */
  double?(n: number): Promise<number>;
  /** Subscribes ten times and waits. */
  idle?(): Promise<void>;
  close(): Promise<void>;
}

export interface Kilobyte {
  readonly index: number;
  readonly text: string;
}

const text = "Read the address of 1862 and list who it names. ".repeat(20).slice(0, 740);

/** With its envelope about 1,000 bytes of JSON. */
export function kilobyte(index: number): Kilobyte {
  return { index, text };
}

/** Throws when it is not what was published. */
export function indexOf(payload: Kilobyte): number {
  if (payload.text.length !== text.length) throw new Error(`event ${payload.index} is another`);
  return payload.index;
}

/** The same fields that the bus writes, by hand. */
export function envelope(index: number, id: string): string {
  return JSON.stringify({
    specversion: "1.0",
    id,
    source: "bench",
    type: "task.created",
    time: new Date().toISOString(),
    datacontenttype: "application/json",
    dataschemaversion: "1.0.0",
    correlationid: id,
    data: kilobyte(index),
  });
}

export function payloadOf(message: string): Kilobyte {
  return (JSON.parse(message) as { readonly data: Kilobyte }).data;
}
