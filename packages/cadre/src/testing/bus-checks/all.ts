import type { ConformanceCheck } from "../conformance-check.ts";
import { deadLetterChecks } from "./dead-letters.ts";
import { routingChecks } from "./routing.ts";
import { settlingChecks } from "./settling.ts";

/** The checks that drive a bus over the transport. */
export const busChecks: readonly ConformanceCheck[] = [
  ...routingChecks,
  ...settlingChecks,
  ...deadLetterChecks,
];
