/**
 * Text as Postgres can keep it. A JavaScript string may hold NUL and lone halves of surrogate
 * pairs, which no text of Postgres can; each becomes U+F8FF (a private-use character) and four
 * hexadecimal digits, and so does U+F8FF itself. All other text is kept as it is, and a prefix of a
 * string stays a prefix of its stored form.
 */

const unstorable = /[\0\uF8FF\p{Surrogate}]/u;
const everyUnstorable = /[\0\uF8FF\p{Surrogate}]/gu;
const everyStored = /\uF8FF([0-9a-f]{4})/g;

export function toStoredText(text: string): string {
  if (!unstorable.test(text)) return text;
  return text.replace(
    everyUnstorable,
    (found) => `\uF8FF${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function fromStoredText(text: string): string {
  if (!text.includes("\uF8FF")) return text;
  return text.replace(everyStored, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}
