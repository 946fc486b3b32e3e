/**
 * Keys of advisory locks: two halves, what is locked and whose log it is. A key that another
 * program takes as well costs waiting, nothing else.
 */

const lockClass = 0x63_61_64_72; // "cadr" in ASCII

/** SQL of the key that guards the end of the log. */
export function appendLock(schema: string): string {
  return `${lockClass}, hashtext('${schema}')`;
}

/** SQL of the key that guards the tables' format. */
export function migrationLock(schema: string): string {
  return `${lockClass + 1}, hashtext('${schema}')`;
}

/** SQL of the key that guards what the writer named by `writer` was last answered. */
export function answerLock(writer: string): string {
  return `${lockClass + 2}, hashtext(${writer}::text)`;
}
