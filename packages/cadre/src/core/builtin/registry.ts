import { defineEvents } from "../define-events.ts";
import type { EventMap } from "../event-types.ts";
import type { EventRegistry } from "../registry.ts";
import { agentEvents, type AgentEvents } from "./agent-events.ts";
import { dataEvents, type DataEvents } from "./data-events.ts";
import { decisionEvents, type DecisionEvents } from "./decision-events.ts";
import { evolutionEvents, type EvolutionEvents } from "./evolution-events.ts";
import { featureEvents, type FeatureEvents } from "./feature-events.ts";
import { flowEvents, type FlowEvents } from "./flow-events.ts";
import { knowledgeGraphEvents, type KnowledgeGraphEvents } from "./knowledge-graph-events.ts";
import { memoryEvents, type MemoryEvents } from "./memory-events.ts";
import { modelEvents, type ModelEvents } from "./model-events.ts";
import { scheduleEvents, type ScheduleEvents } from "./schedule-events.ts";
import { stepEvents, type StepEvents } from "./step-events.ts";
import { systemEvents, type SystemEvents } from "./system-events.ts";
import { taskEvents, type TaskEvents } from "./task-events.ts";
import { trustEvents, type TrustEvents } from "./trust-events.ts";

/** Payload types of all events that Cadre knows by itself. */
export type BuiltinEvents = TaskEvents &
  FeatureEvents &
  FlowEvents &
  AgentEvents &
  DecisionEvents &
  TrustEvents &
  DataEvents &
  MemoryEvents &
  KnowledgeGraphEvents &
  EvolutionEvents &
  ModelEvents &
  StepEvents &
  ScheduleEvents &
  SystemEvents;

/**
 * The events of a registry beside those that Cadre knows by itself: what a team that was given the
 * registry takes. Without a registry it is anything.
 */
export type WithBuiltinEvents<Own extends object> = string extends keyof Own
  ? EventMap
  : Own & Omit<BuiltinEvents, keyof Own>;

/**
 * The events that Cadre knows by itself, with their schemas. A registry of your own can extend it.
 */
export const builtinEvents: EventRegistry<BuiltinEvents> = defineEvents({
  ...taskEvents,
  ...featureEvents,
  ...flowEvents,
  ...agentEvents,
  ...decisionEvents,
  ...trustEvents,
  ...dataEvents,
  ...memoryEvents,
  ...knowledgeGraphEvents,
  ...evolutionEvents,
  ...modelEvents,
  ...stepEvents,
  ...scheduleEvents,
  ...systemEvents,
});
