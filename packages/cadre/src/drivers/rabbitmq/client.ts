/**
 * The few parts of an AMQP connection that the transport uses. Its types aren't imported, to have
 * no dependency on it.
 */

export interface RabbitProperties {
  readonly headers?: Readonly<Record<string, unknown>> | undefined;
  readonly contentType?: string | undefined;
  readonly timestamp?: unknown;
}

export interface RabbitMessageLike {
  readonly content: Buffer;
  readonly fields: { readonly deliveryTag?: number; readonly routingKey: string };
  readonly properties: RabbitProperties;
}

export interface RabbitPublishOptions {
  readonly persistent?: boolean;
  readonly mandatory?: boolean;
  readonly contentType?: string;
  readonly messageId?: string;
  readonly timestamp?: number;
  readonly headers?: Readonly<Record<string, unknown>>;
}

interface Emitter {
  // oxlint-disable-next-line typescript/no-explicit-any -- what an event carries is its own
  on(event: string, listener: (...values: any[]) => void): unknown;
}

export interface RabbitChannelLike extends Emitter {
  assertExchange(name: string, type: string, options?: object): Promise<unknown>;
  assertQueue(name: string, options?: object): Promise<unknown>;
  checkQueue(name: string): Promise<{ readonly messageCount: number }>;
  deleteQueue(name: string): Promise<unknown>;
  bindQueue(queue: string, exchange: string, pattern: string): Promise<unknown>;
  consume(
    queue: string,
    onMessage: (message: RabbitMessageLike | null) => void,
    options?: object,
  ): Promise<{ readonly consumerTag: string }>;
  cancel(consumerTag: string): Promise<unknown>;
  get(queue: string, options?: object): Promise<RabbitMessageLike | false>;
  prefetch(count: number): Promise<unknown>;
  ack(message: RabbitMessageLike): void;
  nack(message: RabbitMessageLike, allUpTo?: boolean, requeue?: boolean): void;
  close(): Promise<void>;
}

export interface RabbitConfirmChannelLike extends RabbitChannelLike {
  publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options: RabbitPublishOptions,
    onConfirm: (error: unknown) => void,
  ): boolean;
}

/** A connection of `amqplib`; one that mends itself (its option `recovery`) will do too. */
export interface RabbitClientLike extends Emitter {
  createChannel(): Promise<RabbitChannelLike>;
  createConfirmChannel(): Promise<RabbitConfirmChannelLike>;
  close(): Promise<void>;
}
