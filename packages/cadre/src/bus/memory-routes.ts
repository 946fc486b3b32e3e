import { TopicTrie } from "../core/topic-trie.ts";
import type { MemoryBroadcast } from "./memory-broadcast.ts";
import type { MemoryGroup } from "./memory-group.ts";

/** Who takes events of one type: two tries that remember what they found. */
export class MemoryRoutes {
  readonly #groups = new TopicTrie<MemoryGroup>();
  readonly #broadcasts = new TopicTrie<MemoryBroadcast>();
  readonly #removals = new Map<MemoryGroup | MemoryBroadcast, readonly (() => void)[]>();

  groups(type: string): readonly MemoryGroup[] {
    return this.#groups.match(type);
  }

  broadcasts(type: string): readonly MemoryBroadcast[] {
    return this.#broadcasts.match(type);
  }

  addGroup(group: MemoryGroup): void {
    this.#add(this.#groups, group);
  }

  addBroadcast(broadcast: MemoryBroadcast): void {
    this.#add(this.#broadcasts, broadcast);
  }

  remove(taker: MemoryGroup | MemoryBroadcast): void {
    for (const remove of this.#removals.get(taker) ?? []) remove();
    this.#removals.delete(taker);
  }

  #add<Taker extends MemoryGroup | MemoryBroadcast>(trie: TopicTrie<Taker>, taker: Taker): void {
    this.#removals.set(
      taker,
      taker.patterns.map((pattern) => trie.add(pattern, taker)),
    );
  }
}
