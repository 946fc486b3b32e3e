/**
 * The few parts of a client that the transport uses: connections that speak Kafka's protocol. Its
 * types aren't imported, to have no dependency on it.
 */

export interface KafkaBrokerLike {
  readonly host: string;
  readonly port: number;
}

/** A `Connection` of `@platformatic/kafka`, connected and authenticated. */
export interface KafkaConnectionLike {
  isConnected(): boolean;
  close(): Promise<void>;
  // oxlint-disable-next-line typescript/no-explicit-any -- the library's own functions call it
  send(...values: any[]): void;
}

/**
 * How brokers are found and reached when there is no URL: through a proxy, with tokens that change,
 * by a name service.
 */
export interface KafkaClientLike {
  /** Asked first, in turn; the others are learnt from them. */
  readonly brokers: readonly KafkaBrokerLike[];
  /** Opens a new connection each time. The transport closes what it was given. */
  connect(broker: KafkaBrokerLike): Promise<KafkaConnectionLike>;
}
