/** `cadre/agents`: agents, tasks, features, and the team that runs them. */
export type {
  AgentContext,
  AgentDefinition,
  AnyAgent,
  AgentOptions,
  DoubtPolicy,
  OnOptions,
  StepOptions,
  TaskContext,
} from "./agent.ts";
export type { Cadre, CadreOptions, CadreStats, TaskQuery } from "./cadre.ts";
export { defineAgent } from "./define-agent.ts";
export { defineTask, type TaskOptionsOf, type TaskSchema } from "./define-task.ts";
export type {
  AgentCard,
  Directory,
  DirectoryEntry,
  DirectoryQuery,
  Presence,
} from "./directory.ts";
export type {
  FeatureHandle,
  FeaturePlan,
  FeatureState,
  FeatureStatus,
  PlannedTask,
} from "./feature.ts";
export { diffAgent, reconstruct } from "./reconstruct.ts";
export type {
  PastEvents,
  Reconstructable,
  Reconstructed,
  ReconstructOptions,
} from "./reconstruct.ts";
export { startCadre } from "./start-cadre.ts";
export type {
  TaskDefinition,
  TaskHandle,
  TaskOptions,
  TaskOwner,
  TaskState,
  TaskStatus,
} from "./task.ts";
