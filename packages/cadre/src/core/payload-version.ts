/**
 * Versions of payload schemas: semver's three numbers; what is left out is 0, so that "1.0" reads
 * as 1.0.0.
 */

const grammar = /^(0|[1-9]\d{0,8})(?:\.(0|[1-9]\d{0,8}))?(?:\.(0|[1-9]\d{0,8}))?$/;

/** The version with all three numbers; `undefined` for what is none. */
export function fullVersion(version: string): string | undefined {
  const parts = grammar.exec(version);
  return parts ? `${parts[1]}.${parts[2] ?? 0}.${parts[3] ?? 0}` : undefined;
}

/** Negative when `left` is older. Both must be full versions. */
export function compareVersions(left: string, right: string): number {
  const a = left.split(".").map(Number);
  const b = right.split(".").map(Number);
  return a[0]! - b[0]! || a[1]! - b[1]! || a[2]! - b[2]!;
}
