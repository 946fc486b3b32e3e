import assert from "node:assert/strict";
import type { Transport } from "../../bus/transport.ts";
import { compileFilter } from "../../core/filter.ts";
import { toFrozenJson } from "../../core/json.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { filterVectors, type FilterVector } from "../vectors/filters.ts";
import { idsOf, Member, specOf } from "./member.ts";

async function tableHolds(context: CheckContext): Promise<void> {
  const reader = await context.createTransport();
  const writer = await context.createTransport();
  const usable = filterVectors.filter(({ payload }) => isJson(payload));
  const byName = Map.groupBy(usable, (vector) => vector.name);
  assert.ok(byName.size >= 60, `the table has ${byName.size} filters`);
  let number = 0;
  for (const vectors of byName.values()) {
    number += 1;
    const type = context.topic(`filter-${number}`);
    const mode = number % 2 === 0 ? "group" : "broadcast";
    const spec = specOf(context, type, { filter: vectors[0]!.filter, mode });
    await filterHolds(context, await Member.open(context, reader, spec), writer, vectors);
  }
}

/** The table also holds payloads for the filter alone that no event could carry. */
function isJson(payload: unknown): boolean {
  try {
    toFrozenJson(payload);
    return true;
  } catch {
    return false;
  }
}

/**
 * The member gets what the filter lets through here: what the carrier narrows beforehand takes
 * nothing away.
 */
async function filterHolds(
  context: CheckContext,
  member: Member,
  writer: Transport,
  vectors: readonly FilterVector[],
): Promise<void> {
  const { name, filter } = vectors[0]!;
  const type = member.spec.patterns[0]!;
  const compiled = compileFilter(filter, { trusted: true });
  const events = vectors.map(({ payload }) => context.event(type, payload));
  const expected = events.filter((event) => compiled.matches(event));
  await context.publish(writer, events);
  const arrived = await member.handle(expected.length);
  assert.deepEqual(idsOf(arrived).toSorted(), idsOf(expected).toSorted(), name);
  await member.expectNothing(1);
  await member.intake.close();
}

export const filterChecks: readonly ConformanceCheck[] = [
  {
    id: "T-23",
    name: "the table of filters gives the same results through the carrier",
    level: "port",
    run: tableHolds,
  },
];
