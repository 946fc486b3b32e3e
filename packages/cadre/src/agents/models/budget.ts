/** What a piece of work may spend. */
import { CadreError } from "../../core/errors.ts";
import { nearestName } from "../../core/options.ts";

/** Upper bounds; what is left out is unbounded. */
export interface Budget {
  /** Tokens of models, in and out. */
  readonly tokens?: number;
  /** Calls of models. */
  readonly calls?: number;
  /** In the currency of the user's price function. */
  readonly money?: number;
}

/** What a budget bounds. */
export const budgetUnits: readonly (keyof Budget)[] = ["tokens", "calls", "money"];

/** @throws {CadreError} INVALID_OPTION, for an unknown unit or an impossible amount */
export function checkBudget(where: string, budget: unknown): void {
  const refuse = (why: string): never => {
    const message = `The budget of ${where} ${why}`;
    throw new CadreError("INVALID_OPTION", message, { option: "budget", value: budget });
  };
  if (typeof budget !== "object" || budget === null || Array.isArray(budget)) {
    return refuse("must be an object of tokens, calls and money.");
  }
  for (const [unit, amount] of Object.entries(budget as Readonly<Record<string, unknown>>)) {
    if (!(budgetUnits as readonly string[]).includes(unit)) {
      const closest = nearestName(unit, budgetUnits);
      refuse(`has no "${unit}".${closest === undefined ? "" : ` Did you mean "${closest}"?`}`);
    }
    if (amount === undefined) continue;
    const isAmount = typeof amount === "number" && Number.isFinite(amount) && amount >= 0;
    if (!isAmount) refuse(`has ${JSON.stringify(amount)} ${unit}. Give a number from 0.`);
    if (unit !== "money" && !Number.isInteger(amount)) {
      refuse(`has ${JSON.stringify(amount)} ${unit}. Give a whole number.`);
    }
  }
}

/** The smaller bound of each unit: what a part may spend of a whole. */
export function narrowerBudget(
  own: Budget | undefined,
  whole: Budget | undefined,
): Budget | undefined {
  if (!own || !whole) return own ?? whole;
  const bounds = budgetUnits.flatMap((unit) => {
    const bound = Math.min(own[unit] ?? Infinity, whole[unit] ?? Infinity);
    return Number.isFinite(bound) ? [[unit, bound] as const] : [];
  });
  return Object.fromEntries(bounds);
}
