/**
 * What was spent of each budget, shared by all processes.
 *
 *   reserve ──the worst that the call may come to──▶ open ──settle──▶ spent: what it came to
 *      │                                              └──nobody knows──▶ doubtful: the worst stays
 *      └──▶ exhausted: nothing was written
 *
 * A budget is one slot; a call that several budgets bound takes from all of them in one commit, by
 * compare-and-set, or from none. What is open counts as spent. So whatever dies and whenever, the
 * sum of what was reserved is never above the budget: a process that died in a call leaves its
 * reservation, for the provider may want the money. The next try of that call makes it doubtful,
 * and so does time; where there is a receipt, the reservation is named in it, and is settled by
 * whoever reads it.
 */
import type { Clock } from "../../core/clock.ts";
import { isCadreError } from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import type { EventStore, Slot } from "../../store/event-store.ts";
import { throughTrouble } from "../passing-trouble.ts";
import { budgetUnits, type Budget } from "./budget.ts";
import { nothing, type Spending } from "./model-usage.ts";

/** One budget that bounds a call: `task:ID`, `feature:ID` or `tenant:NAME`. */
export interface BudgetScope {
  readonly id: string;
  readonly budget: Budget;
}

/** A budget as it stands. */
export interface BudgetState {
  readonly scope: string;
  /** What was allowed when it was last used, with what was granted since. */
  readonly budget: Budget;
  readonly spent: Spending;
  /** Reserved by calls that run, or whose process died. */
  readonly reserved: Spending;
  /** Of calls that may have been paid for: their worst. */
  readonly doubtful: Spending;
}

/** Why a call is not allowed. */
export interface Exhausted {
  readonly scope: string;
  readonly unit: keyof Budget;
  readonly limit: number;
  /** With what is reserved and what is in doubt. */
  readonly spent: number;
  readonly wanted: number;
}

export interface Reservation {
  readonly id: string;
  readonly scopes: readonly string[];
  readonly amount: Spending;
}

interface OpenCall extends Spending {
  readonly step: string;
  /** Unix milliseconds. */
  readonly at: number;
}

interface Ledger {
  readonly limit: Budget;
  readonly granted: Budget;
  readonly spent: Spending;
  readonly doubtful: Spending;
  readonly open: Readonly<Record<string, OpenCall>>;
}

type Change = (scope: string, ledger: Ledger) => Ledger | Exhausted;

export interface LedgerContext {
  readonly store: Pick<EventStore, "slot" | "slots" | "commit">;
  readonly clock: Clock;
  readonly random: Random;
}

const prefix = "budget/";
const maxConflictMs = 50; // the longest wait after a write that another process was faster with
const troubleMs = 10_000; // for which a store in trouble is asked again
const openForMs = 7 * 86_400_000; // no call takes so long, and a ledger must not grow for ever
const rounding = 1e-9; // sums of money are no exact decimals
const empty: Ledger = { limit: {}, granted: {}, spent: nothing, doubtful: nothing, open: {} };

export class BudgetLedger {
  readonly #context: LedgerContext;

  constructor(context: LedgerContext) {
    this.#context = context;
  }

  /** Takes the worst of a call from every scope, or says which of them forbids it. */
  async reserve(
    scopes: readonly BudgetScope[],
    step: string,
    amount: Spending,
  ): Promise<Reservation | Exhausted> {
    const { clock, random } = this.#context;
    const at = clock.now();
    const id = random.id(at);
    const reservation = { id, scopes: scopes.map((scope) => scope.id), amount };
    const limits = new Map(scopes.map((scope) => [scope.id, scope.budget]));
    const exhausted = await this.#change(reservation.scopes, (scope, known) => {
      if (known.open[id]) return known;
      const ledger = {
        ...withoutEarlier(known, step, at),
        limit: limits.get(scope) ?? known.limit,
      };
      const open = { ...ledger.open, [id]: { step, at, ...amount } };
      return exhaustion(scope, ledger, amount) ?? { ...ledger, open };
    });
    return exhausted ?? reservation;
  }

  /**
   * Charges what the call came to, once; without it, nobody knows, and its worst stays charged.
   */
  async settle(
    { id, scopes }: Pick<Reservation, "id" | "scopes">,
    actual: Spending | undefined,
  ): Promise<void> {
    await this.#change(scopes, (_scope, known) => {
      const { [id]: call, ...open } = known.open;
      if (!call) return known;
      const { spent, doubtful } = known;
      return actual
        ? { ...known, open, spent: sum(spent, actual) }
        : { ...known, open, doubtful: sum(doubtful, call) };
    });
  }

  /** Allows more than the budget says, once; what was granted before stays. */
  async grant(scope: string, more: Budget): Promise<BudgetState> {
    // Not tried again: whether it was granted before its answer was lost, nobody can tell.
    await this.#changeOnce([scope], (_scope, known) => {
      const granted = Object.fromEntries(
        budgetUnits.flatMap((unit) => {
          const all = (known.granted[unit] ?? 0) + (more[unit] ?? 0);
          return all === 0 ? [] : [[unit, all] as const];
        }),
      );
      return { ...known, granted };
    });
    const slot = await this.#context.store.slot(prefix + scope);
    return stateOf(scope, parse(slot));
  }

  async list(): Promise<readonly BudgetState[]> {
    const slots = await this.#context.store.slots(prefix);
    return slots.map((slot) => stateOf(slot.name.slice(prefix.length), parse(slot)));
  }

  /**
   * Changes all ledgers in one commit, or none, and says which one refused. The change is none
   * where it was made already, so that a lost answer of the store is no second one.
   */
  #change(scopes: readonly string[], change: Change): Promise<Exhausted | undefined> {
    const { clock } = this.#context;
    return throughTrouble(clock, troubleMs, () => this.#changeOnce(scopes, change));
  }

  async #changeOnce(scopes: readonly string[], change: Change): Promise<Exhausted | undefined> {
    const { store, clock, random } = this.#context;
    for (let conflicts = 0; ; conflicts += 1) {
      const writes = [];
      for (const scope of scopes) {
        const slot = await store.slot(prefix + scope);
        const known = parse(slot);
        const next = change(scope, known);
        if ("unit" in next) return next;
        if (next === known) continue;
        const expectedVersion = slot?.version ?? 0;
        writes.push({ name: prefix + scope, expectedVersion, value: JSON.stringify(next) });
      }
      if (writes.length === 0) return undefined;
      try {
        await store.commit({ slots: writes });
        return undefined;
      } catch (error) {
        if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      }
      const waitMs = random.next() * Math.min(maxConflictMs, 2 ** conflicts);
      await clock.sleep(Math.ceil(waitMs));
    }
  }
}

/**
 * An earlier try of the step is over, however it ended: it may have been paid for. So is a call
 * that nobody has asked for again, and that can't be running any more.
 */
function withoutEarlier(ledger: Ledger, step: string, now: number): Ledger {
  const calls = Object.entries(ledger.open);
  const isOver = ({ step: its, at }: OpenCall): boolean => its === step || now - at > openForMs;
  const over = calls.filter(([, call]) => isOver(call));
  if (over.length === 0) return ledger;
  return {
    ...ledger,
    open: Object.fromEntries(calls.filter(([, call]) => !isOver(call))),
    doubtful: over.reduce((all, [, call]) => sum(all, call), ledger.doubtful),
  };
}

function exhaustion(scope: string, ledger: Ledger, wanted: Spending): Exhausted | undefined {
  const { limit, granted, spent, doubtful } = ledger;
  const used = sum(sum(spent, doubtful), reservedIn(ledger));
  for (const unit of budgetUnits) {
    const most = limit[unit];
    if (most === undefined) continue;
    const allowed = most + (granted[unit] ?? 0);
    if (used[unit] + wanted[unit] <= allowed + rounding) continue;
    return { scope, unit, limit: allowed, spent: used[unit], wanted: wanted[unit] };
  }
  return undefined;
}

function reservedIn({ open }: Ledger): Spending {
  return Object.values(open).reduce<Spending>(sum, nothing);
}

function sum(one: Spending, other: Spending): Spending {
  return {
    tokens: one.tokens + other.tokens,
    calls: one.calls + other.calls,
    money: one.money + other.money,
  };
}

function stateOf(scope: string, ledger: Ledger): BudgetState {
  const { limit, granted, spent, doubtful } = ledger;
  const budget = Object.fromEntries(
    budgetUnits.flatMap((unit) => {
      const most = limit[unit];
      return most === undefined ? [] : [[unit, most + (granted[unit] ?? 0)] as const];
    }),
  );
  return { scope, budget, spent, reserved: reservedIn(ledger), doubtful };
}

function parse(slot: Slot | undefined): Ledger {
  return slot ? { ...empty, ...(JSON.parse(slot.value) as Partial<Ledger>) } : empty;
}

export function isReservation(answer: Reservation | Exhausted): answer is Reservation {
  return "scopes" in answer;
}
