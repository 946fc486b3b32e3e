/**
 * Whether `part` stands for `id`: its beginning or its end, or both around the ellipsis of a
 * narrow table.
 */
export function isShortOf(part: string, id: string): boolean {
  const [start = "", end] = part.split("…");
  if (end !== undefined) return id.startsWith(start) && id.endsWith(end);
  return id.startsWith(part) || id.endsWith(part);
}

/** The first few of many names, for a message. */
export function someOf(names: readonly string[]): string {
  return names.slice(0, 3).join(", ") + (names.length > 3 ? ", …" : "");
}
