/** A page of a list; the first page is 1. */
export function pageOf<Item>(items: readonly Item[], page: number, size: number): Item[] {
  const found: Item[] = [];
  for (const [at, item] of items.entries()) {
    if (at >= (page - 1) * size && at <= page * size) found.push(item);
  }
  return found;
}
