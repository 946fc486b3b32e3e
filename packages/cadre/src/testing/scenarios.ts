import { featureDag } from "./scenarios/feature-dag.ts";
import { projection } from "./scenarios/projection.ts";
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
  /** Steps of every policy, with effects that are counted. */
  readonly steps: Scenario<CountingWorld>;
  /** Orders over stock, ledger and shipping: complete, or wholly undone. */
  readonly sagas: Scenario<Shop>;
  /** Events that are said, relayed, heard, answered. */
  readonly relay: Scenario;
  /** Folds with checkpoints, and rows that commit with their position. */
  readonly projection: Scenario;
} = { tasks, featureDag, steps, sagas, relay, projection };
