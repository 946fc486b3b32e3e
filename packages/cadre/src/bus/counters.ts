/** What one subscription has counted since it was opened. */
export interface Counters {
  handled: number;
  failed: number;
  retried: number;
  deadLettered: number;
  duplicates: number;
  expired: number;
  dropped: number;
  filtered: number;
  lostLeases: number;
  rejectedByBreaker: number;
}

export function createCounters(): Counters {
  return {
    handled: 0,
    failed: 0,
    retried: 0,
    deadLettered: 0,
    duplicates: 0,
    expired: 0,
    dropped: 0,
    filtered: 0,
    lostLeases: 0,
    rejectedByBreaker: 0,
  };
}
