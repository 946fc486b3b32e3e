/** Base58 with Bitcoin's alphabet, as multibase `z` has it. */

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const base = 58n;
const values: ReadonlyMap<string, bigint> = new Map(
  Array.from(alphabet, (letter, index) => [letter, BigInt(index)]),
);
const maxLetters = 256; // far beyond any key, and it bounds the arithmetic

export function toBase58(bytes: Uint8Array): string {
  let rest = 0n;
  for (const byte of bytes) rest = rest * 256n + BigInt(byte);
  let text = "";
  for (; rest > 0n; rest /= base) text = alphabet[Number(rest % base)]! + text;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(zeros === -1 ? bytes.length : zeros) + text;
}

/** Undefined for what is no base58, or has more than 256 letters. */
export function fromBase58(text: string): Uint8Array | undefined {
  if (text.length > maxLetters) return undefined;
  let rest = 0n;
  for (const letter of text) {
    const value = values.get(letter);
    if (value === undefined) return undefined;
    rest = rest * base + value;
  }
  const bytes: number[] = [];
  for (; rest > 0n; rest /= 256n) bytes.unshift(Number(rest % 256n));
  const ones = /^1*/.exec(text)![0].length;
  return Uint8Array.from([...Array<number>(ones).fill(0), ...bytes]);
}
