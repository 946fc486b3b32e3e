import assert from "node:assert/strict";
import { isCadreError } from "#src/core/errors.ts";
import { compileFilter, type FilterDocument, type FilterSubject } from "#src/core/filter.ts";

export function eventOf(payload: unknown): FilterSubject {
  return {
    id: "e-1",
    type: "task.created",
    source: "desk",
    timestamp: 1_000,
    payload,
    metadata: { version: "1.0.0", correlationId: "e-1", extensions: { lane: "fast" } },
  };
}

export function matches(filter: FilterDocument, payload: unknown): boolean {
  return compileFilter(filter, { trusted: true }).matches(eventOf(payload));
}

export function refuses(filter: unknown, path: string, operator?: string): void {
  assert.throws(
    () => compileFilter(filter as FilterDocument),
    (error) => {
      assert.ok(isCadreError(error, "INVALID_FILTER"), String(error));
      assert.deepEqual(error.details, operator === undefined ? { path } : { path, operator });
      return true;
    },
    `${path} ${operator}`,
  );
}
