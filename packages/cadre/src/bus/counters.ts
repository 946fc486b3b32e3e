/** What one subscription has counted since it was opened. */
export class Counters {
  handled = 0;
  failed = 0;
  retried = 0;
  deadLettered = 0;
  duplicates = 0;
  expired = 0;
  dropped = 0;
  filtered = 0;
  lostLeases = 0;
  rejectedByBreaker = 0;
}
