import { compilePattern } from "../core/pattern.ts";
import type { MemoryBroadcast } from "./memory-broadcast.ts";
import type { MemoryGroup } from "./memory-group.ts";

/** Who takes events of one type. */
export interface Route {
  readonly groups: readonly MemoryGroup[];
  readonly broadcasts: readonly MemoryBroadcast[];
}

const maxCachedTypes = 4_096; // types that carry ids never repeat, and must not fill the memory

type Matcher = (type: string) => boolean;

/** Finds who takes a type: remembered by type until a subscription comes or goes. */
export class MemoryRoutes {
  readonly #groups = new Map<MemoryGroup, Matcher>();
  readonly #broadcasts = new Map<MemoryBroadcast, Matcher>();
  readonly #cache = new Map<string, Route>();

  find(type: string): Route {
    const known = this.#cache.get(type);
    if (known) return known;
    const route = {
      groups: taking(this.#groups, type),
      broadcasts: taking(this.#broadcasts, type),
    };
    if (this.#cache.size >= maxCachedTypes) this.#cache.clear();
    this.#cache.set(type, route);
    return route;
  }

  addGroup(group: MemoryGroup): void {
    this.#groups.set(group, this.matcher(group.patterns));
    this.#cache.clear();
  }

  removeGroup(group: MemoryGroup): void {
    this.#groups.delete(group);
    this.#cache.clear();
  }

  addBroadcast(broadcast: MemoryBroadcast): void {
    this.#broadcasts.set(broadcast, this.matcher(broadcast.patterns));
    this.#cache.clear();
  }

  removeBroadcast(broadcast: MemoryBroadcast): void {
    this.#broadcasts.delete(broadcast);
    this.#cache.clear();
  }

  /** Whether one of `patterns` matches. @throws {CadreError} INVALID_PATTERN */
  matcher(patterns: readonly string[]): Matcher {
    const matchers = patterns.map((pattern) => compilePattern(pattern));
    const only = matchers[0];
    if (only && matchers.length === 1) return only;
    return (type) => matchers.some((matches) => matches(type));
  }
}

function taking<Taker>(takers: ReadonlyMap<Taker, Matcher>, type: string): readonly Taker[] {
  const found: Taker[] = [];
  for (const [taker, matches] of takers) if (matches(type)) found.push(taker);
  return found;
}
