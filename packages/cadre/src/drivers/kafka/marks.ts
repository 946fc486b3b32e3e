/**
 * What is kept of a partition beside its committed offset, in the text that Kafka keeps with it:
 *
 *   cadre1.DONE.ATTEMPTS
 *     DONE       one bit for each offset from the committed one on: settled (base64url)
 *     ATTEMPTS   offset:count, both base 36, the offset counted from the committed one: handed out
 *
 * Kafka takes 4,096 characters. Offsets that are settled always fit; of the attempts, those of the
 * oldest do.
 */

export interface Marks {
  readonly done: ReadonlySet<number>;
  readonly attempts: ReadonlyMap<number, number>;
}

/** Offsets from the committed one on that may be open or settled at once. */
export const windowSize = 8_192; // 1,366 characters

const mostAttempts = 2_400; // characters
const start = "cadre1";

export function encodeMarks(base: number, { done, attempts }: Marks): string {
  if (done.size === 0 && attempts.size === 0) return "";
  let last = -1;
  for (const offset of done) last = Math.max(last, offset - base);
  const bits = Buffer.alloc((last >> 3) + 1);
  for (const offset of done) {
    const at = offset - base;
    bits[at >> 3]! |= 1 << (at & 7);
  }
  let counts = "";
  for (const [offset, count] of [...attempts].sort(([left], [right]) => left - right)) {
    const entry = `${(offset - base).toString(36)}:${count.toString(36)}`;
    if (counts.length + entry.length + 1 > mostAttempts) break;
    counts += counts === "" ? entry : `,${entry}`;
  }
  return `${start}.${bits.toString("base64url")}.${counts}`;
}

/** Nothing is marked where another program has committed. */
export function decodeMarks(base: number, text: string | null | undefined): Marks {
  const done = new Set<number>();
  const attempts = new Map<number, number>();
  const parts = text?.split(".") ?? [];
  if (parts[0] !== start || parts.length !== 3) return { done, attempts };
  for (const [index, byte] of Buffer.from(parts[1]!, "base64url").entries()) {
    for (let bit = 0; bit < 8; bit += 1) {
      if (byte & (1 << bit)) done.add(base + index * 8 + bit);
    }
  }
  for (const entry of parts[2] === "" ? [] : parts[2]!.split(",")) {
    const [offset, count] = entry.split(":").map((number) => Number.parseInt(number, 36));
    if (offset! >= 0 && count! > 0) attempts.set(base + offset!, count!);
  }
  return { done, attempts };
}
