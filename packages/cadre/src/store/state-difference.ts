/** What is different between two states, place by place. */

/** One place at which two states differ. */
export interface StateChange {
  readonly kind: "added" | "removed" | "changed";
  /** JSON Pointer (RFC 6901): `/orders/0/amount`; empty for the state itself. */
  readonly path: string;
  /** Absent when added. */
  readonly before?: unknown;
  /** Absent when removed. */
  readonly after?: unknown;
}

/**
 * The places at which `after` differs from `before`, as deep down as they can be told: what has to
 * be done to `before`, in this order, to make it `after`.
 *
 * Items of lists are compared by their index. Both states are JSON; anything else (a Map, a Date)
 * is one value, and equal only to itself.
 */
export function differenceOf(before: unknown, after: unknown): readonly StateChange[] {
  const changes: StateChange[] = [];
  compare(before, after, "", changes);
  return changes;
}

function compare(before: unknown, after: unknown, path: string, changes: StateChange[]): void {
  if (Object.is(before, after) || (before === 0 && after === 0)) return;
  if (Array.isArray(before) && Array.isArray(after)) {
    compareLists(before, after, path, changes);
  } else if (isPlain(before) && isPlain(after)) {
    compareObjects(before, after, path, changes);
  } else if (before === undefined) {
    changes.push({ kind: "added", path, after });
  } else if (after === undefined) {
    changes.push({ kind: "removed", path, before });
  } else {
    changes.push({ kind: "changed", path, before, after });
  }
}

function compareLists(
  before: readonly unknown[],
  after: readonly unknown[],
  path: string,
  changes: StateChange[],
): void {
  const shared = Math.min(before.length, after.length);
  for (let index = 0; index < shared; index += 1) {
    compare(before[index], after[index], `${path}/${index}`, changes);
  }
  for (let index = shared; index < after.length; index += 1) {
    changes.push({ kind: "added", path: `${path}/${index}`, after: after[index] });
  }
  // from the end, so that the indexes of those that are left to remove stay what they are
  for (let index = before.length - 1; index >= shared; index -= 1) {
    changes.push({ kind: "removed", path: `${path}/${index}`, before: before[index] });
  }
}

function compareObjects(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
  path: string,
  changes: StateChange[],
): void {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const name of names) {
    const place = `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    compare(ownMember(before, name), ownMember(after, name), place, changes);
  }
}

function ownMember(value: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
