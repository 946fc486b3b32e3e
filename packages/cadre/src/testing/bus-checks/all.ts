import type { ConformanceCheck } from "../conformance-check.ts";
import { deadLetterChecks } from "./dead-letters.ts";
import { flowChecks } from "./flow.ts";
import { lifecycleChecks } from "./lifecycle.ts";
import { metaChecks } from "./meta.ts";
import { orderChecks } from "./order.ts";
import { requestChecks } from "./requests.ts";
import { routingChecks } from "./routing.ts";
import { settlingChecks } from "./settling.ts";

/** The checks that drive a bus over the transport. */
export const busChecks: readonly ConformanceCheck[] = [
  ...routingChecks,
  ...settlingChecks,
  ...deadLetterChecks,
  ...orderChecks,
  ...flowChecks,
  ...requestChecks,
  ...lifecycleChecks,
  ...metaChecks,
];
