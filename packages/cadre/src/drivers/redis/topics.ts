/** Topic patterns as the server's scripts look at them. */
import { parsePattern } from "../../core/pattern.ts";
import type { Settings } from "./redis-options.ts";

/** What a subscription wants, as the scripts read it. It may be more than its patterns match. */
export interface Wanted {
  /** The streams; absent for all, also those to come. */
  readonly domains?: readonly string[];
  /** `=a.b` is the type `a.b`; `^a.b` also every type under it; `^` is every type. */
  readonly prefixes: readonly string[];
}

const onlyStream = "all";

/** The stream that events of `type` are in. */
export function domainOf(type: string, { streams }: Pick<Settings, "streams">): string {
  return streams === "single" ? onlyStream : type.split(".", 1)[0]!;
}

export function planWanted(
  patterns: readonly string[],
  settings: Pick<Settings, "streams">,
): Wanted {
  const prefixes = new Set<string>();
  const domains = new Set<string>();
  let isAny = false;
  for (const pattern of patterns) {
    const { words, literal } = parsePattern(pattern);
    const fixed = literal ? words : words.slice(0, firstWildcard(words));
    prefixes.add(`${literal ? "=" : "^"}${fixed.join(".")}`);
    if (settings.streams === "single") domains.add(onlyStream);
    else if (fixed.length === 0) isAny = true;
    else domains.add(fixed[0]!);
  }
  const all = isAny || domains.size === 0;
  const list = [...prefixes];
  return { ...(all ? {} : { domains: [...domains] }), prefixes: list.length === 0 ? ["^"] : list };
}

function firstWildcard(words: readonly string[]): number {
  return words.findIndex((word) => word === "*" || word === "#");
}
