/**
 * The few parts of a NATS connection that the transport uses. Its types aren't imported, to have no
 * dependency on it.
 */

export interface NatsHeadersLike {
  /** Set in a status message of the server; 0 otherwise. */
  readonly code: number;
  readonly description: string;
  get(name: string): string;
  set(name: string, value: string): void;
  keys(): string[];
}

export interface NatsMessageLike {
  readonly subject: string;
  readonly reply?: string;
  readonly data: Uint8Array;
  readonly headers?: NatsHeadersLike;
}

export interface NatsSubscriptionLike {
  unsubscribe(): void;
  /** Ends the subscription after what is on its way has arrived. */
  drain(): Promise<void>;
}

/** A connection of `@nats-io/transport-node`, or of another transport of the same client. */
export interface NatsClientLike {
  /** What the server said when the connection was made. */
  readonly info?: { readonly max_payload: number; readonly version: string };
  publish(subject: string, payload?: Uint8Array, options?: { readonly reply?: string }): void;
  request(
    subject: string,
    payload?: Uint8Array,
    options?: { timeout: number; headers?: NatsHeadersLike },
  ): Promise<NatsMessageLike>;
  subscribe(
    subject: string,
    options?: { callback?: (error: Error | null, message: NatsMessageLike) => void },
  ): NatsSubscriptionLike;
  /** Resolves when the server has seen all that was sent before. */
  flush(): Promise<void>;
  isClosed(): boolean;
  close(): Promise<void>;
  /** `disconnect`, `reconnect` and others, as they happen. */
  status(): AsyncIterable<{ readonly type: string }>;
}
