/** Agents: their life, their presence, what they say to each other and what they can do. */
import {
  anyJson,
  count,
  durationMs,
  fact,
  instant,
  list,
  oneOf,
  optional,
  plainError,
  text,
  word,
  type BuiltinFamily,
  type PlainError,
} from "./payload-schema.ts";

/** What each heartbeat carries: all that an observer must know of an agent. */
export interface AgentHeartbeat {
  readonly agent: string;
  /** Of the agent's process: two runs of one agent never share it. */
  readonly incarnation: string;
  readonly capabilities?: readonly string[];
  /** Tasks that it may own at once. */
  readonly capacity?: number;
  /** Tasks that it owns now. */
  readonly load?: number;
  readonly specializations?: readonly string[];
  readonly state?: "running" | "paused" | "draining";
  /** By how much timers of its process are late, 99th percentile since the last beat. */
  readonly loopLagMs?: number;
  /** Unix milliseconds by the agent's clock; for people, never for verdicts. */
  readonly beatAt?: number;
  readonly pid?: number;
  readonly host?: string;
}

export interface AgentCreated {
  readonly agent: string;
  readonly capabilities?: readonly string[];
  readonly capacity?: number;
  readonly description?: string;
}

export interface AgentChanged {
  readonly agent: string;
  readonly incarnation?: string;
  readonly reason?: string;
  /** Its presence, where an observer says it: `dead` or `left`. */
  readonly status?: string;
  readonly silentMs?: number;
}

export interface AgentUpdated {
  readonly agent: string;
  readonly capabilities?: readonly string[];
  readonly capacity?: number;
  readonly specializations?: readonly string[];
}

export interface AgentFailed {
  readonly agent: string;
  readonly incarnation?: string;
  readonly error?: PlainError;
  readonly taskId?: string;
}

export interface AgentQuery {
  readonly query?: unknown;
  readonly [member: string]: unknown;
}

export interface AgentBackpressure {
  /** The agent or subscription whose queue it is. */
  readonly agent: string;
  readonly queue?: string;
  readonly size?: number;
  readonly limit?: number;
  readonly dropped?: number;
  readonly policy?: string;
  /** Ids of the first and the last event dropped. */
  readonly first?: string;
  readonly last?: string;
}

export interface AgentSuspected {
  readonly agent: string;
  readonly incarnation?: string;
  readonly silentMs?: number;
  /** Who suspects it. */
  readonly observer?: string;
}

export interface AgentRecovered {
  readonly agent: string;
  readonly incarnation?: string;
  readonly silentMs?: number;
  readonly observer?: string;
}

export interface AgentMessage {
  readonly text?: string;
  readonly to?: string;
  readonly conversation?: string;
  readonly body?: unknown;
}

export interface CapabilityExecution {
  readonly capability: string;
  readonly agent?: string;
  readonly executionId?: string;
  readonly taskId?: string;
  readonly input?: unknown;
  readonly result?: unknown;
  readonly error?: PlainError;
  readonly durationMs?: number;
}

export interface ToolInvoked {
  readonly tool: string;
  /** Name of the call in its handler's journal. */
  readonly step?: string;
  readonly agent?: string;
  readonly taskId?: string;
  readonly input?: unknown;
  readonly result?: unknown;
  readonly error?: PlainError;
  readonly durationMs?: number;
}

export type AgentEvents = {
  "agent.created": AgentCreated;
  "agent.initialized": AgentChanged;
  "agent.online": AgentHeartbeat;
  "agent.started": AgentChanged;
  "agent.paused": AgentChanged;
  "agent.stopped": AgentChanged;
  "agent.offline": AgentChanged;
  "agent.heartbeat": AgentHeartbeat;
  "agent.updated": AgentUpdated;
  "agent.error": AgentFailed;
  "agent.query": AgentQuery;
  "agent.*.query": AgentQuery;
  "agent.message": AgentMessage;
  "agent.backpressure": AgentBackpressure;
  "agent.suspected_failure": AgentSuspected;
  "agent.recovered": AgentRecovered;
  "agent.capability.execution.*": CapabilityExecution;
  "tool.invoked": ToolInvoked;
};

const card = {
  agent: word,
  incarnation: word,
  capabilities: optional(list(word)),
  capacity: optional(count),
  load: optional(count),
  specializations: optional(list(word)),
  state: optional(oneOf("running", "paused", "draining")),
  loopLagMs: optional(durationMs),
  beatAt: optional(instant),
  pid: optional(count),
  host: optional(text),
};
const changed = {
  agent: word,
  incarnation: optional(word),
  reason: optional(text),
  status: optional(text),
  silentMs: optional(durationMs),
};
const presence = {
  agent: word,
  incarnation: optional(word),
  silentMs: optional(durationMs),
  observer: optional(word),
};
// A question's shape is the asked agent's own affair.
const query = { query: optional(anyJson) };
const call = {
  agent: optional(word),
  taskId: optional(word),
  input: optional(anyJson),
  result: optional(anyJson),
  error: optional(plainError),
  durationMs: optional(durationMs),
};

export const agentEvents: BuiltinFamily<AgentEvents> = {
  "agent.created": fact("An agent is declared for the first time.", {
    agent: word,
    capabilities: optional(list(word)),
    capacity: optional(count),
    description: optional(text),
  }),
  "agent.initialized": fact("An agent has folded its state and may start.", changed),
  "agent.online": fact("An agent is there; this is its card.", card),
  "agent.started": fact("An agent takes work.", changed),
  "agent.paused": fact("An agent takes no new work for now.", changed),
  "agent.stopped": fact("An agent has finished its work and stopped.", changed),
  "agent.offline": fact("An agent has left, or has been silent for a whole lease.", changed),
  "agent.heartbeat": fact("An agent lives; this is its card.", card),
  "agent.updated": fact("An agent's card has changed.", {
    agent: word,
    capabilities: optional(list(word)),
    capacity: optional(count),
    specializations: optional(list(word)),
  }),
  "agent.error": fact("Something went wrong in an agent.", {
    agent: word,
    incarnation: optional(word),
    error: optional(plainError),
    taskId: optional(word),
  }),
  "agent.query": fact("A question to any agent.", query),
  "agent.*.query": fact("A question to the agent that the middle word names.", query),
  "agent.message": fact("Free text or data from one agent to another.", {
    text: optional(text),
    to: optional(word),
    conversation: optional(word),
    body: optional(anyJson),
  }),
  "agent.backpressure": fact("A queue has reached its bound; told once a burst.", {
    agent: word,
    queue: optional(text),
    size: optional(count),
    limit: optional(count),
    dropped: optional(count),
    policy: optional(text),
    first: optional(text),
    last: optional(text),
  }),
  "agent.suspected_failure": fact("An agent has been silent for too long.", presence),
  "agent.recovered": fact("A suspected or dead agent is heard again.", presence),
  "agent.capability.execution.*": fact(
    "An agent's capability was used; the last word says how far.",
    {
      capability: word,
      executionId: optional(word),
      ...call,
    },
  ),
  "tool.invoked": fact("An agent has called a tool.", {
    tool: word,
    step: optional(word),
    ...call,
  }),
};
