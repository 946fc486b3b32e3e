/** `cadre/agents`: agents, tasks, features, and the team that runs them. */
export type {
  AgentContext,
  AgentDefinition,
  AnyAgent,
  AgentOptions,
  OnOptions,
  SignalOptions,
  TaskContext,
} from "./agent.ts";
export type { DoubtPolicy, StepOptions, StepRetry, StepToUndo } from "./step-options.ts";
export type { Cadre, CadreOptions, CadreStats, TaskQuery, TeamOf } from "./cadre.ts";
export { defineAgent } from "./define-agent.ts";
export {
  defineSaga,
  sagaId,
  type SagaDefinition,
  type SagaExpectation,
  type SagaOptions,
  type SagaStart,
} from "./define-saga.ts";
export { defineTask, type TaskOptionsOf, type TaskSchema } from "./define-task.ts";
export type {
  AgentActivity,
  AgentCard,
  Directory,
  DirectoryChange,
  DirectoryEntry,
  DirectoryQuery,
  Presence,
  ProcessMemory,
} from "./directory.ts";
export type { AgentOrder, AgentOrders } from "./health/agent-control.ts";
export type { ActiveWhen } from "./health/active-when.ts";
export {
  presencePresets,
  type HealthOptions,
  type PresencePreset,
  type PresenceTiming,
} from "./health/health-options.ts";
export type { RateLimit } from "./health/rate-limit-rules.ts";
export type { RateLimits, TakeOptions } from "./health/rate-limits.ts";
export type { RestartOptions } from "./health/restart-policy.ts";
export type {
  FeatureHandle,
  FeaturePatch,
  FeaturePlan,
  FeatureState,
  FeatureStatus,
  ObstacleKind,
  PlanDraft,
  PlanFunction,
  PlannedChange,
  PlannedTask,
  Planner,
  PlanRequest,
} from "./feature.ts";
export type { PlanItem } from "./feature-fold.ts";
export type { Assignable, AssignmentPolicy, Candidate } from "./orchestration/assignment.ts";
export type {
  Gathered,
  MapOptions,
  MapOutcome,
  ScatterOptions,
  ScatterTo,
} from "./orchestration/delegated.ts";
export {
  defineExpectation,
  type FlowExpectation,
  type FlowExpectationOptions,
} from "./orchestration/flow-expectation.ts";
export type { HandoffTarget } from "./orchestration/handoff.ts";
export type { TenantShares } from "./orchestration/fair-queue.ts";
export type { OrchestratorOptions } from "./orchestration/orchestrator-options.ts";
export { draftPlan } from "./orchestration/plan-items.ts";
export {
  legacyBridge,
  type AnyCadre,
  type AnyLegacyTaking,
  type LegacyAgent,
  type LegacyBridge,
  type LegacyBridgeOptions,
  type LegacyTaking,
  type RunningLegacyBridge,
} from "./legacy/legacy-bridge.ts";
export type { LegacyWording } from "./legacy/legacy-desk.ts";
export type { LegacyReport } from "./legacy/legacy-words.ts";
export type { AuditOptions, TeamRetentionOptions } from "./log-upkeep.ts";
export type { LargePayloads } from "./large-payloads.ts";
export type { Budget } from "./models/budget.ts";
export type { BudgetState } from "./models/budget-ledger.ts";
export type { TeamBudgets } from "./models/budget-scopes.ts";
export type { LanguageModel, ModelCall, ModelIdentity } from "./models/language-model.ts";
export type { ModelContext, ToolCallInfo, ToolOptions } from "./models/model-context.ts";
export type { ModelOptions, StreamOptions } from "./models/model-options.ts";
export type { ModelUsage, Price } from "./models/model-usage.ts";
export { readStream, type ReadStreamOptions } from "./models/read-stream.ts";
export type { StreamPiece } from "./models/stream-pieces.ts";
export type { Budgets } from "./models/team-models.ts";
export { teamStreams } from "./team-streams.ts";
export { diffAgent, reconstruct } from "./reconstruct.ts";
export type {
  PastEvents,
  Reconstructable,
  Reconstructed,
  ReconstructOptions,
} from "./reconstruct.ts";
export type { SagaPhase, SagaQuery, SagaState, StartSagaOptions } from "./saga-desk.ts";
export type {
  SagaScope,
  SagaStepOptions,
  SagaSteps,
  SagaUndoScope,
  SagaWaitOptions,
} from "./saga-steps.ts";
export type {
  AtOptions,
  CronOptions,
  EventToPublish,
  EveryOptions,
  MissedPolicy,
  ScheduledWork,
  ScheduleOptions,
  Schedules,
  ScheduleState,
  ScheduleTrigger,
  TaskToCreate,
} from "./schedule.ts";
export type { Ballot, BallotAnswer } from "./proposals/ballots.ts";
export { actionHash, contentHash } from "./proposals/content-hash.ts";
export type {
  Debater,
  DebaterKind,
  DebaterState,
  DebateOpening,
  DebateOptions,
  DebatePhase,
  DebateReply,
  DebateResult,
  DebateState,
  DebateTurn,
  DebateVerdict,
  DebateView,
  Judge,
  Judgement,
  JudgeView,
  TieRule,
} from "./proposals/debate.ts";
export type { DebatePart } from "./proposals/debate-tasks.ts";
export type { Person } from "./proposals/people.ts";
export type {
  Electorate,
  EscalationLevel,
  ProposalKind,
  ProposalLevel,
  ProposalMode,
  ProposalOutcome,
  ProposalState,
  ProposalStatus,
  Proposed,
  ProposeOptions,
  Quorum,
  Rule,
  RuleAnswer,
  Verdict,
  Vote,
  VoterKind,
  VoterSet,
  Weigh,
} from "./proposals/proposal.ts";
export { defineRule } from "./proposals/define-rule.ts";
export type { ProposalContext } from "./proposals/proposal-context.ts";
export type { ProposalQuery } from "./proposals/proposal-desk.ts";
export type {
  Decision,
  TaskDebateOptions,
  TaskProposeOptions,
  ValidateOptions,
} from "./proposals/proposer.ts";
export type { OpenOptions, ProposalHandle, Proposals } from "./proposals/team-proposals.ts";
export type { TaskValidation, ValidationReason } from "./proposals/validation.ts";
export type { CastVote } from "./proposals/voting.ts";
export { startCadre } from "./start-cadre.ts";
export type { StepState, StepStatus } from "./step-fold.ts";
export type { StepAction, StepResolution } from "./step-resolution.ts";
export type {
  DriftPolicy,
  TaskDefinition,
  TaskHandle,
  TaskHandoff,
  TaskOptions,
  TaskOwner,
  TaskQuestion,
  TaskState,
  TaskStatus,
  TaskUndoing,
} from "./task.ts";
export type { StrandedWork } from "./work-version.ts";

// Trust
export { trustProjection } from "./trust/trust-fold.ts";
export { thompsonSampling } from "./trust/thompson.ts";
export type { Beta } from "./trust/beta.ts";
export type { Score as TrustScore, TrustGate, TrustOptions, TrustView } from "./trust/trust.ts";
export type { TrustState, TrustTerms } from "./trust/trust-state.ts";
