/** Facts about types: `holds<Equal<A, B>>()` compiles only when they are the same. */
export type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

export function holds<_Fact extends true>(): void {}
