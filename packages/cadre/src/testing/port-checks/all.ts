import type { ConformanceCheck } from "../conformance-check.ts";
import { basicChecks } from "./basics.ts";
import { directedChecks } from "./directed.ts";
import { faultChecks } from "./faults.ts";
import { filterChecks } from "./filters.ts";
import { flowChecks } from "./flow.ts";
import { groupChecks } from "./groups.ts";
import { leaseChecks } from "./leases.ts";
import { lifecycleChecks } from "./lifecycle.ts";
import { orderChecks } from "./order.ts";
import { patternChecks } from "./patterns.ts";
import { settlingChecks } from "./settling.ts";
import { startChecks } from "./starts.ts";

/** The checks that drive the port itself. */
export const portChecks: readonly ConformanceCheck[] = [
  ...basicChecks,
  ...startChecks,
  ...groupChecks,
  ...patternChecks,
  ...filterChecks,
  ...settlingChecks,
  ...leaseChecks,
  ...directedChecks,
  ...orderChecks,
  ...flowChecks,
  ...lifecycleChecks,
  ...faultChecks,
];
