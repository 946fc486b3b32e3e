/** What all models of one running team share. */
import { CadreError } from "../../core/errors.ts";
import { checkOptions, someObject } from "../../core/options.ts";
import type { TeamContext } from "../team-context.ts";
import { checkBudget, type Budget } from "./budget.ts";
import { BudgetLedger, type BudgetState } from "./budget-ledger.ts";
import type { TeamBudgets } from "./budget-scopes.ts";
import { checkModelOptions, type ModelOptions } from "./model-options.ts";
import { ProviderGate } from "./provider-gate.ts";

export interface TeamModels {
  /** Of models that don't say otherwise. */
  readonly options: Omit<ModelOptions, "name">;
  readonly budgets: TeamBudgets;
  readonly ledger: BudgetLedger;
  readonly gate: ProviderGate;
}

/** Budgets as their users see them. */
export interface Budgets {
  /** All that were ever used. */
  list(): Promise<readonly BudgetState[]>;
  /**
   * Allows `task:ID`, `feature:ID` or `tenant:NAME` so much more. A task that waits for it goes on
   * when it is told so: `resolveStep` with "retry".
   */
  grant(scope: string, more: Budget): Promise<BudgetState>;
}

type Making = Pick<TeamContext, "store" | "clock" | "random" | "limits">;

/** @throws {CadreError} INVALID_OPTION */
export function teamModels(
  context: Making,
  options: Omit<ModelOptions, "name"> = {},
  budgets: TeamBudgets = {},
): TeamModels {
  checkModelOptions("startCadre's models", options);
  checkOptions("startCadre's budgets", budgets, { tenant: someObject });
  for (const [tenant, budget] of Object.entries(budgets.tenant ?? {})) {
    checkBudget(`the tenant "${tenant}"`, budget);
  }
  return { options, budgets, ledger: new BudgetLedger(context), gate: new ProviderGate(context) };
}

export function budgetsOf({ ledger }: Pick<TeamModels, "ledger">): Budgets {
  return {
    list: () => ledger.list(),
    grant: async (scope, more) => {
      checkBudget(scope, more);
      if (/^(task|feature|tenant):./.test(scope)) return ledger.grant(scope, more);
      const message = `"${scope}" is no budget. Give task:ID, feature:ID or tenant:NAME.`;
      throw new CadreError("INVALID_OPTION", message, { option: "scope", value: scope });
    },
  };
}
