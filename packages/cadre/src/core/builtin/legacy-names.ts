/**
 * The names that older systems give the built-in events: `TASK_CREATED` is `task.created`.
 *
 * One explicit table, because not all of them are mechanical.
 */

/** Older name by event type. A family's name stands for all its types. */
export const legacyNames: Readonly<Record<string, string>> = {
  "task.created": "TASK_CREATED",
  "task.offered": "TASK_OFFERED",
  "task.handed_off": "TASK_HANDED_OFF",
  "task.assigned": "TASK_ASSIGNED",
  "task.received": "TASK_RECEIVED",
  "task.acknowledged": "TASK_ACKNOWLEDGED",
  "task.claimed": "TASK_CLAIMED",
  "task.started": "TASK_STARTED",
  "task.progress": "TASK_PROGRESS",
  "task.completed": "TASK_COMPLETED",
  "task.failed": "TASK_FAILED",
  "task.retry": "TASK_RETRY",
  "task.lease_expired": "TASK_LEASE_EXPIRED",
  "task.result_rejected": "TASK_RESULT_REJECTED",
  "task.cancel_requested": "TASK_CANCEL_REQUESTED",
  "task.cancelled": "TASK_CANCELLED",
  "status.updated": "STATUS_UPDATE",
  "feature.created": "FEATURE_CREATED",
  "feature.started": "FEATURE_STARTED",
  "feature.completed": "FEATURE_COMPLETED",
  "feature.blocked": "FEATURE_BLOCKED",
  "feature.patched": "FEATURE_PATCHED",
  "feature.resumed": "FEATURE_RESUMED",
  "feature.cancelled": "FEATURE_CANCELLED",
  "flow.stuck": "FLOW_STUCK",
  "flow.resumed": "FLOW_RESUMED",
  "agent.created": "AGENT_CREATED",
  "agent.initialized": "AGENT_INITIALIZED",
  "agent.online": "AGENT_ONLINE",
  "agent.started": "AGENT_STARTED",
  "agent.paused": "AGENT_PAUSED",
  "agent.stopped": "AGENT_STOPPED",
  "agent.offline": "AGENT_OFFLINE",
  "agent.heartbeat": "AGENT_HEARTBEAT",
  "agent.updated": "AGENT_UPDATED",
  "agent.error": "AGENT_ERROR",
  "agent.query": "AGENT_QUERY",
  "agent.message": "AGENT_MESSAGE",
  "agent.backpressure": "AGENT_BACKPRESSURE",
  "agent.suspected_failure": "AGENT_SUSPECTED_FAILURE",
  "agent.recovered": "AGENT_RECOVERED",
  "agent.capability.execution.*": "AGENT_CAPABILITY_EXECUTION",
  "tool.invoked": "TOOL_INVOKED",
  "model.called": "MODEL_CALLED",
  "budget.exhausted": "BUDGET_EXHAUSTED",
  "agent.stream": "AGENT_STREAM",
  "validation.requested": "VALIDATION_REQUEST",
  "validation.responded": "VALIDATION_RESPONSE",
  "action.proposed": "ACTION_PROPOSED",
  "action.voted": "ACTION_VOTED",
  "action.amended": "ACTION_AMENDED",
  "action.escalated": "ACTION_ESCALATED",
  "action.approved": "ACTION_APPROVED",
  "action.vetoed": "ACTION_VETOED",
  "action.expired": "ACTION_EXPIRED",
  "action.withdrawn": "ACTION_WITHDRAWN",
  "debate.opened": "DEBATE_OPENED",
  "debate.opening": "DEBATE_OPENING",
  "debate.sealed": "DEBATE_SEALED",
  "debate.revealed": "DEBATE_REVEALED",
  "debate.turned": "DEBATE_TURNED",
  "debate.forfeited": "DEBATE_FORFEITED",
  "debate.round_ended": "DEBATE_ROUND_ENDED",
  "debate.judged": "DEBATE_JUDGED",
  "score.updated": "SCORE_UPDATED",
  "violation.detected": "VIOLATION_DETECTED",
  "identity.rotated": "IDENTITY_ROTATED",
  "identity.revoked": "IDENTITY_REVOKED",
  "document.processed": "DOCUMENT_PROCESSED",
  "embedding.generated": "EMBEDDING_GENERATED",
  "memory.created": "MEMORY_CREATED",
  "memory.updated": "MEMORY_UPDATED",
  "memory.deleted": "MEMORY_DELETED",
  "memory.accessed": "MEMORY_ACCESSED",
  "memory.searched": "MEMORY_SEARCHED",
  "memory.consolidated": "MEMORY_CONSOLIDATED",
  "memory.entity.extracted": "ENTITY_EXTRACTED",
  "knowledge_graph.entity.created": "KNOWLEDGE_GRAPH_ENTITY_CREATED",
  "knowledge_graph.entity.updated": "KNOWLEDGE_GRAPH_ENTITY_UPDATED",
  "knowledge_graph.entity.merged": "KNOWLEDGE_GRAPH_ENTITY_MERGED",
  "knowledge_graph.entity.removed": "KNOWLEDGE_GRAPH_ENTITY_REMOVED",
  "knowledge_graph.relation.created": "KNOWLEDGE_GRAPH_RELATION_CREATED",
  "knowledge_graph.relation.removed": "KNOWLEDGE_GRAPH_RELATION_REMOVED",
  "knowledge_graph.updated": "KNOWLEDGE_GRAPH_UPDATED",
  "evolution.started": "EVOLUTION_STARTED",
  "evolution.variant.created": "EVOLUTION_VARIANT_CREATED",
  "evolution.variant.evaluated": "EVOLUTION_VARIANT_EVALUATED",
  "evolution.variant.promoted": "EVOLUTION_VARIANT_PROMOTED",
  "evolution.variant.rolled_back": "EVOLUTION_VARIANT_ROLLED_BACK",
  "evolution.completed": "EVOLUTION_COMPLETED",
  "step.intent": "STEP_INTENT",
  "step.receipt": "STEP_RECEIPT",
  "step.failed": "STEP_FAILED",
  "step.in_doubt": "STEP_IN_DOUBT",
  "step.drift": "STEP_DRIFT",
  "step.resolved": "STEP_RESOLVED",
  "step.undo_intent": "STEP_UNDO_INTENT",
  "step.undo_receipt": "STEP_UNDO_RECEIPT",
  "step.undo_failed": "STEP_UNDO_FAILED",
  "step.timer": "STEP_TIMER",
  "step.signal": "STEP_SIGNAL",
  "saga.started": "SAGA_STARTED",
  "saga.completed": "SAGA_COMPLETED",
  "saga.failed": "SAGA_FAILED",
  "saga.undo_started": "SAGA_UNDO_STARTED",
  "saga.undone": "SAGA_UNDONE",
  "saga.undo_stuck": "SAGA_UNDO_STUCK",
  "schedule.created": "SCHEDULE_CREATED",
  "schedule.moved": "SCHEDULE_MOVED",
  "schedule.cancelled": "SCHEDULE_CANCELLED",
  "schedule.fired": "SCHEDULE_FIRED",
  "schedule.missed": "SCHEDULE_MISSED",
  "system.started": "SYSTEM_STARTED",
  "system.stopped": "SYSTEM_STOPPED",
  "system.shutdown": "SYSTEM_SHUTDOWN",
  "system.health_check": "HEALTH_CHECK",
  "system.tick": "SYSTEM_TICK",
  "system.metrics_summary": "METRICS_SUMMARY",
  "circuit_breaker.opened": "CIRCUIT_BREAKER_OPENED",
  "circuit_breaker.half_opened": "CIRCUIT_BREAKER_HALF_OPENED",
  "circuit_breaker.closed": "CIRCUIT_BREAKER_CLOSED",
  error: "ERROR",
  "custom.#": "CUSTOM",
};

/** Families whose older name has the rest of the type elsewhere: in `target`, mostly. */
const families: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^task\.assigned\.[^.]+$/, "TASK_ASSIGNED"],
  [/^agent\.[^.]+\.query$/, "AGENT_QUERY"],
  [/^agent\.capability\.execution\.[^.]+$/, "AGENT_CAPABILITY_EXECUTION"],
  [/^custom(?:\..+)?$/, "CUSTOM"],
];

// What a name alone can say of a family: the type that all of the family's members are read as.
const familyTypes: Readonly<Record<string, string>> = {
  AGENT_CAPABILITY_EXECUTION: "agent.capability.execution.reported",
  CUSTOM: "custom",
};

const typeByName: ReadonlyMap<string, string> = new Map(
  Object.entries(legacyNames).map(([type, name]) => [name, familyTypes[name] ?? type]),
);

/** The event type of an older name; `undefined` for a name that is not in the table. */
export function fromLegacyName(name: string): string | undefined {
  return typeByName.get(name);
}

/** The older name of an event type; `undefined` for a type that has none. */
export function toLegacyName(type: string): string | undefined {
  if (Object.hasOwn(legacyNames, type)) return legacyNames[type];
  return families.find(([pattern]) => pattern.test(type))?.[1];
}

const customWord = /^custom\.([a-z][a-z0-9_]*)$/;
const upperCase = /^[A-Z][A-Z0-9_]*$/;

/**
 * The type that a name in an older envelope means.
 *
 * A name that the table does not have is a custom event of its own: `INVOICE_PAID` is
 * `custom.invoice_paid`. What is no such name, as `domain.action.state`, is the type itself.
 */
export function typeOfWireName(name: string): string {
  if (upperCase.test(name)) return fromLegacyName(name) ?? `custom.${name.toLowerCase()}`;
  const known = name.includes(".") ? undefined : fromLegacyName(name.toUpperCase());
  return known ?? name;
}

/**
 * The upper-case name under which an event type goes out. {@link typeOfWireName} of it need not be
 * the type again, as for a family's members; then the type must travel beside it.
 */
export function wireNameOf(type: string): string {
  const known = toLegacyName(type);
  const own = customWord.exec(type)?.[1]?.toUpperCase();
  if (own !== undefined && !typeByName.has(own)) return own;
  if (known !== undefined) return known;
  const made = type.replaceAll(/[^A-Za-z0-9]+/g, "_").toUpperCase();
  // A name of the table would be taken for the event that it names.
  return upperCase.test(made) && !typeByName.has(made) ? made : "CUSTOM";
}

/**
 * A pattern of the older systems in the grammar of today's: their `*` stands for any number of
 * words, so `memory.*` is `memory.#` and `*` is `#`. An upper-case name is its type.
 */
export function fromLegacyPattern(pattern: string): string {
  return pattern.includes("*") ? pattern.replaceAll(/\*+/g, "#") : typeOfWireName(pattern);
}
