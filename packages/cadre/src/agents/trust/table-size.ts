/** Tables of the trust state that must not grow for ever. */

type Table = Readonly<Record<string, unknown>>;

// Counting the keys of a large table at each event would cost more than the fold.
const sizes = new WeakMap<Table, number>();

export function sizeOf(table: Table): number {
  const size = sizes.get(table) ?? Object.keys(table).length;
  sizes.set(table, size);
  return size;
}

export function put<Value>(table: Record<string, Value>, key: string, value: Value): void {
  const size = sizeOf(table);
  if (!Object.hasOwn(table, key)) sizes.set(table, size + 1);
  table[key] = value;
}

export function remove<Value>(table: Record<string, Value>, key: string): void {
  const size = sizeOf(table);
  if (!Object.hasOwn(table, key)) return;
  delete table[key];
  sizes.set(table, size - 1);
}

/** Removes the oldest entries until so many are left. */
export function keepNewest<Value>(table: Record<string, Value>, count: number): void {
  const keys = Object.keys(table);
  for (const key of keys.slice(0, Math.max(0, keys.length - count))) remove(table, key);
}
