/**
 * Settings of a function. Tables grow and shrink while plans are kept, and a queue's statistics are
 * always old: every look-up goes by an index, in its order, and no plan is made twice, which would
 * cost more than the work itself.
 */
export const byIndex = `SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off`;
