/** What is known of commits that somebody is woken for. */
export interface CommitNews {
  /** Where the log ends after them; 0 when they wrote no event. Unknown when nobody said so. */
  readonly position?: number;
  /** Of the events that subscriptions see. Unknown of other connections' commits. */
  readonly types?: ReadonlySet<string>;
}

export function mergeNews(one: CommitNews, other: CommitNews): CommitNews {
  return {
    ...(one.position !== undefined &&
      other.position !== undefined && { position: Math.max(one.position, other.position) }),
    ...(one.types && other.types && { types: new Set([...one.types, ...other.types]) }),
  };
}

/** Whether there may be something in `news` for who takes these types and has seen up to `at`. */
export function isNewTo(
  { position, types }: CommitNews,
  at: number,
  matches: (type: string) => boolean,
): boolean {
  if (position !== undefined && position <= at) return false;
  return !types || types.values().some(matches);
}
