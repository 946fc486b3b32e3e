import { detection, type Witness } from "./scenarios/detection.ts";
import { featureDag } from "./scenarios/feature-dag.ts";
import { orchestration } from "./scenarios/orchestration.ts";
import { projection } from "./scenarios/projection.ts";
import { proposals, type Council } from "./scenarios/proposals.ts";
import { relay } from "./scenarios/relay.ts";
import { sagas, type Shop } from "./scenarios/sagas.ts";
import { steps } from "./scenarios/steps.ts";
import { tasks } from "./scenarios/tasks.ts";
import type { CountingWorld } from "./scenarios/world.ts";
import type { Scenario } from "./sim-options.ts";

/**
 * The teams that Cadre itself is simulated with. They are for whoever writes a store, a transport
 * or another part of the ground that agents stand on: `simulate({ ...scenarios.tasks, store })`.
 */
export const scenarios: {
  /** Tasks of every fate: children, retries, deadlines, cancellations, payments. */
  readonly tasks: Scenario<CountingWorld>;
  /** Features: a diamond of tasks, one that is blocked, one after the other. */
  readonly featureDag: Scenario;
  /** Features in features, changed, mended and cancelled; work handed on to several. */
  readonly orchestration: Scenario<CountingWorld>;
  /** Steps of every policy, with effects that are counted. */
  readonly steps: Scenario<CountingWorld>;
  /** Orders over stock, ledger and shipping: complete, or wholly undone. */
  readonly sagas: Scenario<Shop>;
  /** Votes, vetoes, validations and debates, over actions that happen only if approved. */
  readonly proposals: Scenario<Council>;
  /** Events that are said, relayed, heard, answered. */
  readonly relay: Scenario;
  /** Folds with checkpoints, and rows that commit with their position. */
  readonly projection: Scenario;
  /** Four processes that watch each other die, freeze, and come back. */
  readonly detection: Scenario<Witness>;
} = { tasks, featureDag, orchestration, steps, sagas, proposals, relay, projection, detection };
