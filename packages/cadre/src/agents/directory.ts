/**
 * Who is there, what they can do, and how loaded they are. Soft state: it is rebuilt from beats and
 * survives nobody.
 */

export type Presence = "online" | "suspected" | "dead" | "returned" | "left";

/** What each heartbeat carries, whole. */
export interface AgentCard {
  readonly agent: string;
  readonly incarnation: string;
  readonly capabilities: readonly string[];
  readonly specializations: readonly string[];
  readonly capacity: number;
  /** Tasks that it holds. */
  readonly load: number;
  /** 99th percentile of the event loop's lateness since the last beat, in milliseconds. */
  readonly loopLagMs: number;
  readonly state: "running" | "paused" | "draining";
  /** Unix milliseconds by the agent's clock; for people, never for verdicts. */
  readonly beatAt: number;
  readonly pid?: number;
  readonly host?: string;
}

export interface DirectoryEntry {
  readonly card: AgentCard;
  readonly presence: Presence;
  /** Milliseconds since this observer last saw the card change. */
  readonly silentMs: number;
}

export interface DirectoryQuery {
  readonly capability?: string;
  readonly agent?: string;
  readonly presence?: Presence;
  /** Only those with room for a task. */
  readonly free?: boolean;
}

export interface Directory {
  /** Sorted by name, then incarnation. */
  find(query?: DirectoryQuery): readonly DirectoryEntry[];
  /** Calls `listener` at each edge of an agent's presence. Returns the end of it. */
  watch(listener: (entry: DirectoryEntry, before: Presence | undefined) => void): () => void;
}
