/** A subscription's options, checked, with their defaults, and what they ask of the transport. */
import { CadreError } from "../core/errors.ts";
import {
  canonicalFilter,
  compileFilter,
  type CompiledFilter,
  type FilterDocument,
} from "../core/filter.ts";
import {
  checkOptions,
  oneOf,
  someObject,
  someSignal,
  someText,
  trueOrFalse,
  wholeNumber,
  type OptionRule,
  type OptionRules,
} from "../core/options.ts";
import { assertPattern } from "../core/pattern.ts";
import { TopicTrie } from "../core/topic-trie.ts";
import type { BreakerOptions, Overflow, RetryOptions, SubscribeOptions } from "./bus.ts";
import type { Capabilities, ConsumeSpec, OnRetry, StartFrom } from "./transport.ts";

const defaults = {
  concurrency: 1, // handlers at once; 1 keeps the order within this member
  timeoutMs: 30_000, // for one attempt
  leaseMs: 30_000, // how soon another member takes over from one that died
  maxQueued: 1_000, // events held in memory; beyond it, `overflow` decides
} as const;

const maxPatterns = 256; // one subscription's; more is a filter's work

const groupName: OptionRule = {
  expected: "1 to 128 characters without white space or control characters",
  accepts: (value) => typeof value === "string" && /^[\x21-\x7e]{1,128}$/.test(value),
};

const startFrom: OptionRule = {
  expected: `"new", "earliest", { after: position } or { time: milliseconds }`,
  accepts: (value) => {
    if (value === "new" || value === "earliest") return true;
    if (typeof value !== "object" || value === null) return false;
    if ("after" in value) return typeof value.after === "string";
    return "time" in value && Number.isFinite(value.time);
  },
};

const rules: OptionRules<SubscribeOptions> = {
  group: groupName,
  also: {
    expected: `a list of at most ${maxPatterns} topic patterns`,
    accepts: (value) => Array.isArray(value) && value.length <= maxPatterns,
  },
  filter: someObject,
  from: startFrom,
  concurrency: wholeNumber(1, 100_000),
  timeoutMs: wholeNumber(0),
  leaseMs: wholeNumber(10),
  retry: someObject,
  ordered: oneOf("block", "park-key", "skip"),
  maxQueued: wholeNumber(1, 10_000_000),
  overflow: oneOf("wait", "reject", "drop-oldest", "drop-newest"),
  dedup: trueOrFalse,
  expired: oneOf("drop", "dead-letter"),
  breaker: {
    expected: "false or the breaker's options",
    accepts: (value) => value === false || someObject.accepts(value),
  },
  signal: someSignal,
  name: someText,
  as: someText,
};

/** Options that only mean something for a group. */
const groupOnly = ["leaseMs", "retry", "ordered", "dedup", "expired"] as const;

export interface SubscriptionPlan {
  readonly name: string;
  readonly group: string | undefined;
  readonly patterns: readonly string[];
  readonly filter: FilterDocument | undefined;
  readonly compiledFilter: CompiledFilter | undefined;
  readonly definition: string;
  readonly from: StartFrom;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly leaseMs: number;
  readonly retry: RetryOptions;
  readonly ordered: OnRetry | undefined;
  readonly maxQueued: number;
  readonly overflow: Overflow;
  readonly dedup: boolean;
  readonly expired: "drop" | "dead-letter";
  readonly breaker: BreakerOptions | false;
  readonly signal: AbortSignal | undefined;
}

/**
 * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN | INVALID_FILTER
 */
export function planSubscription(pattern: string, options: SubscribeOptions): SubscriptionPlan {
  checkOptions("subscribe", options, rules);
  const { group } = options;
  if (group === undefined) refuseGroupOptions(options);
  const patterns = [...new Set([pattern, ...(options.also ?? [])])];
  for (const each of patterns) assertPattern(each);
  const filter = options.filter;
  return {
    name: options.name ?? group ?? pattern,
    group,
    patterns,
    filter,
    compiledFilter: filter && compileFilter(filter),
    definition: definitionOf(patterns, filter),
    from: options.from ?? "new",
    concurrency: options.concurrency ?? defaults.concurrency,
    timeoutMs: options.timeoutMs ?? defaults.timeoutMs,
    leaseMs: options.leaseMs ?? defaults.leaseMs,
    retry: options.retry ?? {},
    ordered: options.ordered,
    maxQueued: options.maxQueued ?? defaults.maxQueued,
    overflow: options.overflow ?? (group === undefined ? "drop-oldest" : "wait"),
    dedup: options.dedup ?? group !== undefined,
    expired: options.expired ?? "drop",
    breaker: options.breaker ?? false,
    signal: options.signal,
  };
}

function refuseGroupOptions(options: SubscribeOptions): void {
  for (const name of groupOnly) {
    if (options[name] === undefined) continue;
    throw new CadreError(
      "INVALID_OPTION",
      `Option "${name}" of subscribe needs a group: a broadcast has no retries, leases ` +
        `or dead letters. Give a group, or leave it out.`,
      { option: name, value: options[name] },
    );
  }
}

/**
 * What makes two members of one group the same subscription: patterns as a set, and the filter
 * whatever its spelling.
 */
function definitionOf(patterns: readonly string[], filter: FilterDocument | undefined): string {
  const words = JSON.stringify(patterns.toSorted());
  return filter === undefined ? words : `${words} where ${canonicalFilter(filter)}`;
}

/**
 * Refuses what the transport cannot do and the bus does not emulate.
 * @throws {CadreError} UNSUPPORTED
 */
export function assertSupported(plan: SubscriptionPlan, by: string, able: Capabilities): void {
  if (plan.ordered !== undefined && !able.keyOrder.includes(plan.ordered)) {
    const offered = able.keyOrder.length === 0 ? "none" : able.keyOrder.join(", ");
    throw new CadreError(
      "UNSUPPORTED",
      `Transport "${by}" keeps no per-key order with ordered: "${plan.ordered}" ` +
        `(it offers: ${offered}). ` +
        "Leave `ordered` out, or use a transport that has it.",
      { feature: `ordered: "${plan.ordered}"`, by },
    );
  }
  if (typeof plan.from === "object" && able.history === "none") {
    throw new CadreError(
      "UNSUPPORTED",
      `Transport "${by}" keeps no history to start from. Start from "new".`,
      { feature: "from", by },
    );
  }
}

/** The plan as the transport needs it. */
export function consumeSpec(plan: SubscriptionPlan, subscription: string): ConsumeSpec {
  return {
    subscription,
    mode: plan.group === undefined ? "broadcast" : "group",
    patterns: plan.patterns,
    ...(plan.filter === undefined ? {} : { filter: plan.filter }),
    definition: plan.definition,
    from: plan.from,
    leaseMs: plan.leaseMs,
    ...(plan.ordered === undefined ? {} : { ordered: plan.ordered }),
    maxQueued: plan.maxQueued,
    overflow: plan.overflow,
  };
}

/** Exact matching on arrival: a transport may hand out more than was asked for. */
export function topicMatcher(patterns: readonly string[]): (type: string) => boolean {
  const trie = new TopicTrie<true>();
  for (const pattern of patterns) trie.add(pattern, true);
  return (type) => trie.match(type).length > 0;
}
