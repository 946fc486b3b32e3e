/** Who may do what: the rules as they are given, checked. */
import { CadreError } from "../core/errors.ts";
import { anything, checkOptions, someObject, someText } from "../core/options.ts";
import { compilePattern } from "../core/pattern.ts";

/** `claim` is for tasks, by their capability; `vote` for proposals, by their action. */
export type Right = "publish" | "subscribe" | "claim" | "vote";

/** One thing that is allowed. Nothing else is. */
export interface PermissionRule {
  /** A name, a DID, `role:<role>`, or `*` for everybody. Several are each allowed it. */
  readonly who: string | readonly string[];
  readonly may: Right | readonly Right[];
  /** Topic patterns over event types, capabilities of tasks or actions of proposals. */
  readonly on: string | readonly string[];
  /** Only within this tenant. @default each within its own */
  readonly tenant?: string;
}

/** What a name is, which no event can say of itself. */
export interface Member {
  /**
   * The tenant that it is of: what it publishes is of it, and it sees nothing of another. `*` is of
   * all of them, for who runs the system.
   * @default none: it sees and publishes what belongs to no tenant
   */
  readonly tenant?: string;
  readonly roles?: readonly string[];
}

export interface PermissionOptions {
  readonly rules: readonly PermissionRule[];
  /** By name, or by DID. */
  readonly members?: Readonly<Record<string, Member>>;
  /**
   * Names of runtimes, which keep the books of all agents and are asked for nothing: the teams of
   * other processes. A team's own name is always among them. @default none
   */
  readonly exempt?: readonly string[];
}

export interface CompiledRule {
  readonly who: ReadonlySet<string>;
  readonly may: ReadonlySet<string>;
  readonly patterns: readonly string[];
  readonly tenant: string | undefined;
  matches(what: string): boolean;
}

const rights: readonly unknown[] = ["publish", "subscribe", "claim", "vote"];
const maxRules = 10_000;
const someTexts = {
  expected: "a text, or a list of texts",
  accepts: (value: unknown): boolean =>
    asList(value as string).every((each) => typeof each === "string" && each !== ""),
};

/** @throws {CadreError} INVALID_OPTION | INVALID_PATTERN */
export function compileRules(options: PermissionOptions): readonly CompiledRule[] {
  checkOptions("permissions", options, {
    rules: { expected: "a list of rules", accepts: Array.isArray },
    members: someObject,
    exempt: someTexts,
  });
  for (const [name, member] of Object.entries(options.members ?? {})) {
    checkOptions(`member "${name}"`, member, { tenant: someText, roles: anything });
  }
  const { rules } = options;
  if (!rules || rules.length > maxRules) {
    const message = `Permissions need a list of at most ${maxRules} rules; [] allows nothing.`;
    throw new CadreError("INVALID_OPTION", message, { option: "rules" });
  }
  return rules.map(compileRule);
}

function compileRule(rule: PermissionRule): CompiledRule {
  checkOptions("a permission", rule, {
    who: someTexts,
    may: {
      expected: `one or more of ${rights.join(", ")}`,
      accepts: (value) => asList(value as string).every((each) => rights.includes(each)),
    },
    on: someTexts,
    tenant: someText,
  });
  for (const option of ["who", "may", "on"] as const) {
    if (rule[option] !== undefined) continue;
    const message = `A permission has no "${option}". It needs who, may and on.`;
    throw new CadreError("INVALID_OPTION", message, { option });
  }
  const patterns = asList(rule.on);
  const matchers = patterns.map(compilePattern);
  return {
    who: new Set(asList(rule.who)),
    may: new Set(asList(rule.may)),
    patterns,
    tenant: rule.tenant,
    matches: (what) => matchers.some((matches) => matches(what)),
  };
}

/** Whether every topic that `inner` matches is one that `outer` matches. */
export function covers(outer: string, inner: string): boolean {
  return coversFrom(outer.split("."), inner.split("."));
}

function coversFrom(outer: readonly string[], inner: readonly string[]): boolean {
  const [first, ...rest] = outer;
  if (first === undefined) return inner.length === 0;
  if (first === "#") {
    return coversFrom(rest, inner) || (inner.length > 0 && coversFrom(outer, inner.slice(1)));
  }
  const [next, ...others] = inner;
  if (next === undefined || next === "#") return false;
  return (first === "*" || first === next) && coversFrom(rest, others);
}

function asList<Item>(value: Item | readonly Item[]): readonly Item[] {
  return Array.isArray(value) ? (value as readonly Item[]) : [value as Item];
}
