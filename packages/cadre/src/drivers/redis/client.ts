/**
 * The few parts of an `ioredis` client that the transport uses. Its types aren't imported, to have
 * no dependency on it.
 */
export interface RedisClientLike {
  /** `ready` while commands are answered. */
  readonly status: string;
  /** The socket while there is one: what is written to it while corked goes out as one. */
  readonly stream?: { cork(): void; uncork(): void } | undefined;
  call(command: string, args: (string | number | Buffer)[]): Promise<unknown>;
  /** As `call`, with texts as bytes. */
  callBuffer(command: string, args: (string | number | Buffer)[]): Promise<unknown>;
  /** Another connection to the same server. */
  duplicate(changes?: object): RedisClientLike;
  connect(): Promise<unknown>;
  disconnect(): void;
  quit(): Promise<unknown>;
  on(event: "error" | "close", listener: (error: Error) => void): unknown;
}
