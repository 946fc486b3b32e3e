/**
 * What tests of Cadre's users, and Cadre's own, are made with. Nothing of the library imports it.
 */
export { VirtualClock } from "../core/clock.ts";
export { SeededRandom } from "../core/random.ts";
export type {
  CarrierControls,
  CheckContext,
  ConformanceCheck,
  HoldingConsumer,
  Refusable,
  Undeclared,
} from "./conformance-check.ts";
export {
  conformanceReport,
  transportChecks,
  transportConformance,
  type CheckResult,
  type ConformanceReport,
  type TestFunction,
  type TransportConformanceOptions,
} from "./transport-conformance.ts";
export {
  storeChecks,
  storeConformance,
  type DeclareTest,
  type StoreConformanceOptions,
} from "./store-conformance.ts";
export type { StoreCheck, StoreCheckContext } from "./store-check.ts";
export {
  faulty,
  type FaultCounts,
  type FaultyOptions,
  type FaultyTransport,
  type PortCall,
} from "./faulty-transport.ts";
export {
  startFaultProxy,
  type FaultProxy,
  type FaultProxyCounts,
  type FaultProxyOptions,
} from "./fault-proxy.ts";
export type { CutMoment, CutWatch } from "./cut-plan.ts";
export { recordingBus, type BusRecording, type EventMatch } from "./recording-bus.ts";
export { patternVectors, type PatternVector } from "./vectors/patterns.ts";
export { filterVectors, type FilterVector } from "./vectors/filters.ts";
export { testTeam, type TestTeam, type TestTeamOptions } from "./test-team.ts";
export {
  simulate,
  simulateSeeds,
  SimulationError,
  type SimulationFailure,
  type SimulationSum,
} from "./simulate.ts";
export type {
  Invariant,
  Scenario,
  SimulatedProcess,
  SimulationOptions,
  SimulationResult,
  Violation,
} from "./sim-options.ts";
export type { LogCounts } from "./sim-invariants.ts";
export { everyFault, faultKinds } from "./sim-faults.ts";
export type {
  Fault,
  FaultChances,
  FaultKind,
  FaultRates,
  ScheduledFault,
  SimCall,
} from "./sim-faults.ts";
export { scenarios } from "./scenarios.ts";
export { CountingWorld } from "./scenarios/world.ts";
export {
  recordedModel,
  scriptedModel,
  type ScriptedCall,
  type ScriptedModel,
  type ScriptedModelOptions,
  type ScriptedReply,
  type ScriptedToolCall,
} from "./scripted-model.ts";
