/**
 * Arrays in Postgres' own notation: `{1,2,NULL,"a \"b\""}`. The client would make them as well, at
 * three times the cost.
 */

/** Of numbers, booleans or UUIDs, which need no quotes. `undefined` and `null` become NULL. */
export function plainArray(
  items: readonly (number | boolean | string | null | undefined)[],
): string {
  let literal = "{";
  for (let index = 0; index < items.length; index += 1) {
    if (index > 0) literal += ",";
    literal += String(items[index] ?? "NULL");
  }
  return `${literal}}`;
}

const special = /["\\]/;
const everySpecial = /["\\]/g;

/** Of texts. */
export function textArray(items: readonly (string | null | undefined)[]): string {
  let literal = "{";
  for (let index = 0; index < items.length; index += 1) {
    if (index > 0) literal += ",";
    const item = items[index];
    if (item === null || item === undefined) literal += "NULL";
    else literal += `"${special.test(item) ? item.replace(everySpecial, "\\$&") : item}"`;
  }
  return `${literal}}`;
}

/**
 * Of JSON texts: they hold no control character, so that JSON's own quoting is Postgres' too, and
 * far quicker.
 */
export function jsonArray(items: readonly (string | null)[]): string {
  let literal = "{";
  for (let index = 0; index < items.length; index += 1) {
    if (index > 0) literal += ",";
    const item = items[index]!;
    literal += item === null ? "NULL" : JSON.stringify(item);
  }
  return `${literal}}`;
}
