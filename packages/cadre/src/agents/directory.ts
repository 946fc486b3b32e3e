/**
 * Who is there, what they can do, and how loaded they are. Soft state: it is rebuilt from beats and
 * survives nobody.
 */

export type Presence = "online" | "suspected" | "dead" | "returned" | "left";

/** `asleep` and `paused` agents claim nothing; `stopped` ones have ended and stay listed. */
export type AgentActivity = "running" | "paused" | "draining" | "asleep" | "stopped";

/** What a process takes, in bytes. */
export interface ProcessMemory {
  readonly rssBytes: number;
  readonly heapBytes: number;
}

/** What each heartbeat carries, whole. */
export interface AgentCard {
  readonly agent: string;
  /** Of this run of the agent: a restart, in its process or with it, makes another. */
  readonly incarnation: string;
  /** Version of the agent, as it was defined. */
  readonly version?: string;
  readonly capabilities: readonly string[];
  readonly specializations: readonly string[];
  readonly capacity: number;
  /** Tasks whose lease it holds, by the log. */
  readonly load: number;
  /** Of these, tasks that wait for something and have given their place back. */
  readonly waiting: number;
  /** 99th percentile of the event loop's lateness since the last beat, in milliseconds. */
  readonly loopLagMs: number;
  readonly memory?: ProcessMemory;
  readonly state: AgentActivity;
  /** Why it is in its state, where somebody said so. */
  readonly reason?: string;
  /** Unix milliseconds at which a sleeping agent takes work again. */
  readonly nextActiveAt?: number;
  /** In words: what makes no progress although the agent beats. */
  readonly stuck?: string;
  /** Capabilities that it claims nothing for, because too many of its tries have failed. */
  readonly broken?: readonly string[];
  /** Unix milliseconds by the agent's clock; for people, never for verdicts. */
  readonly beatAt: number;
  readonly pid?: number;
  readonly host?: string;
}

export interface DirectoryEntry {
  readonly card: AgentCard;
  readonly presence: Presence;
  /** Milliseconds since this observer last saw the agent's process beat. */
  readonly silentMs: number;
}

export interface DirectoryQuery {
  readonly capability?: string;
  readonly specialization?: string;
  readonly agent?: string;
  readonly version?: string;
  readonly presence?: Presence;
  readonly state?: AgentActivity;
  /** Only those that are not known to be dead or to have left. */
  readonly live?: boolean;
  /** Only those with room for a task. */
  readonly free?: boolean;
}

/** How the answer to a query changes. */
export interface DirectoryChange {
  readonly kind: "joined" | "left" | "changed";
  readonly entry: DirectoryEntry;
}

export interface Directory {
  /** Sorted by name, then incarnation. */
  find(query?: DirectoryQuery): readonly DirectoryEntry[];
  /** Calls `listener` at each edge of an agent's presence. Returns the end of it. */
  watch(listener: (entry: DirectoryEntry, before: Presence | undefined) => void): () => void;
  /**
   * Tells who joins and leaves the answer to `query`, and whose card changes in it; those that are
   * in it now first. Cards are news at each look, once a heartbeat.
   */
  watch(query: DirectoryQuery, listener: (change: DirectoryChange) => void): () => void;
}

/** Tasks that the agent could begin now. */
export function roomOf(card: Pick<AgentCard, "capacity" | "load" | "waiting" | "state">): number {
  return card.state === "running" ? Math.max(0, card.capacity - card.load + card.waiting) : 0;
}

export function fitsQuery({ card, presence }: DirectoryEntry, query: DirectoryQuery): boolean {
  return (
    (query.capability === undefined || card.capabilities.includes(query.capability)) &&
    (query.specialization === undefined || card.specializations.includes(query.specialization)) &&
    (query.agent === undefined || card.agent === query.agent) &&
    (query.version === undefined || card.version === query.version) &&
    (query.presence === undefined || presence === query.presence) &&
    (query.state === undefined || card.state === query.state) &&
    (!query.live || (presence !== "dead" && presence !== "left")) &&
    (!query.free || roomOf(card) > 0)
  );
}
