/** Where two texts differ, for people. */

const around = 40; // characters of what is alike, before the difference

/** The first difference of two texts, each on a line of its own. */
export function linesDiffer(expected: string, actual: string): string {
  let at = 0;
  while (at < expected.length && expected[at] === actual[at]) at += 1;
  const from = Math.max(0, at - around);
  const cut = (text: string): string => {
    const part = text.slice(from, at + 2 * around);
    const before = from > 0 ? "…" : "";
    return `${before}${part}${from + part.length < text.length ? "…" : ""}`;
  };
  return `  expected: ${cut(expected)}\n  actual:   ${cut(actual)}`;
}
