/** What can go wrong with a simulated process, and how often. */

/**
 * Chances at each port call, 0 to 1, and how long what they begin lasts, in virtual milliseconds.
 */
export interface FaultRates {
  /** The process dies before the call has any effect. @default 0 */
  readonly crashBefore?: number;
  /** The process dies after the effect, before the answer. @default 0 */
  readonly crashAfter?: number;
  /** The effect happens and the caller is told that it failed. @default 0 */
  readonly loseAnswer?: number;
  /** Nothing happens and the caller is told so. @default 0 */
  readonly fail?: number;
  /** A published event is published twice. @default 0 */
  readonly duplicate?: number;
  /** The process freezes before the call, as after SIGSTOP, and thaws by itself. @default 0 */
  readonly pauseBefore?: number;
  /** The process freezes after the effect, before the answer. @default 0 */
  readonly pauseAfter?: number;
  /** Longest freeze. Above the lease, others take over meanwhile. @default 40_000 */
  readonly pauseMs?: number;
  /** The process is cut off: all its calls fail for a while. @default 0 */
  readonly partition?: number;
  /** Longest partition. @default 20_000 */
  readonly partitionMs?: number;
  /** The disk is full: commits of all processes are refused for a while. @default 0 */
  readonly full?: number;
  /** Longest time that the disk is full. @default 10_000 */
  readonly fullMs?: number;
  /** The call takes long. @default 0 */
  readonly slow?: number;
  /** Longest of the slow calls. @default 10_000 */
  readonly slowMs?: number;
  /** Longest delay of every call, each way. @default 5 */
  readonly delayMs?: number;
  /** Longest wrongness of a process's wall clock, either way. @default 0 */
  readonly clockSkewMs?: number;
  /** Longest life until a process closes in order and is started again. @default it never does */
  readonly leaveAfterMs?: number;
}

export type FaultKind =
  | "crashBefore"
  | "crashAfter"
  | "loseAnswer"
  | "fail"
  | "duplicate"
  | "pauseBefore"
  | "pauseAfter"
  | "partition"
  | "full"
  | "slow";

export interface Fault {
  /** Virtual milliseconds since the start. */
  readonly at: number;
  readonly process: string;
  readonly call: string;
  readonly kind: FaultKind;
}

/** The disk under the store, which all processes share. */
export interface SimDisk {
  /** Virtual milliseconds since the start. */
  fullUntil: number;
}
