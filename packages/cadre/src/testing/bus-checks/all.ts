import type { ConformanceCheck } from "../conformance-check.ts";

/** The checks that drive a bus over the transport. */
export const busChecks: readonly ConformanceCheck[] = [];
