/** `cadre budgets`, `cadre budgets grant`: what was spent on models, and more of it. */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";

import { BudgetLedger, type BudgetState } from "../../agents/models/budget-ledger.ts";
import { budgetUnits, type Budget } from "../../agents/models/budget.ts";
import { budgetsOf } from "../../agents/models/team-models.ts";
import { CadreError } from "../../core/errors.ts";
import { secureRandom } from "../../core/random.ts";
import type { EventStore } from "../../store/event-store.ts";
import { wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { tableLines, type Column } from "../table.ts";
import { homeFlags, printing, refuseWords } from "./home-flags.ts";

interface BudgetFlags extends HomeFlags, Budget {
  readonly json?: boolean;
}

/** One unit of one budget. */
interface BudgetRow {
  readonly scope: string;
  readonly unit: keyof Budget;
  readonly limit: number | undefined;
  readonly spent: number;
  /** Reserved, or perhaps paid. */
  readonly held: number;
}

const columns: readonly Column<BudgetRow>[] = [
  { title: "budget", text: ({ scope }) => scope, least: 12, style: () => "cyan" },
  { title: "unit", text: ({ unit }) => unit },
  { title: "spent", text: ({ spent }) => amount(spent), align: "right" },
  { title: "held", text: ({ held }) => amount(held), align: "right" },
  { title: "of", text: ({ limit }) => amount(limit), align: "right" },
];

export function addBudgets(program: Command, context: CommandContext): void {
  const budgets = program.command("budgets").summary("show what models may spend, and grant more");
  const list = budgets.command("list", { isDefault: true }).summary("list what was spent");
  list.description(
    "Lists what was spent of each budget. Held is what calls that run have reserved, and what " +
      "processes that died may have paid for.",
  );
  printing(homeFlags(list), ["cadre budgets", "cadre budgets --json | jq .spent"]);
  list.action((flags: BudgetFlags) => {
    refuseWords(list);
    return show(context, flags);
  });
  const grant = budgets.command("grant").summary("allow more");
  grant
    .description("Allows a budget so much more. A task that waits for it is told so by a retry.")
    .argument("<budget>", "task:ID, feature:ID or tenant:NAME")
    .option("--tokens <n>", "tokens, in and out", wholeFrom(0))
    .option("--calls <n>", "calls", wholeFrom(0))
    .option("--money <n>", "in the currency of the team's prices", money);
  printing(homeFlags(grant), ["cadre budgets grant tenant:acme --tokens 100000"]);
  grant.action((scope: string, flags: BudgetFlags) => give(context, scope, flags));
}

async function show(context: CommandContext, flags: BudgetFlags): Promise<void> {
  const { output } = context;
  await withStore(context, flags, async (store) => {
    const states = await ledgerOf(context, store).list();
    if (flags.json) {
      for (const state of states) await output.json(state);
      return;
    }
    if (states.length === 0) return output.note("No budget was ever used.");
    await output.lines(tableLines(output, columns, states.flatMap(rowsOf)));
  });
}

async function give(context: CommandContext, scope: string, flags: BudgetFlags): Promise<void> {
  const { output } = context;
  const more = Object.fromEntries(
    budgetUnits.flatMap((unit) =>
      flags[unit] === undefined ? [] : [[unit, flags[unit]] as const],
    ),
  );
  if (Object.keys(more).length === 0) {
    const message = "Say how much more: --tokens, --calls or --money.";
    throw new CadreError("INVALID_OPTION", message, { option: "grant" });
  }
  await withStore(context, flags, async (store) => {
    const state = await budgetsOf({ ledger: ledgerOf(context, store) }).grant(scope, more);
    if (flags.json) return output.json(state);
    output.note(`Granted. ${scope} may spend ${allowed(state)} in all.`);
  });
}

function ledgerOf({ clock }: CommandContext, store: EventStore): BudgetLedger {
  return new BudgetLedger({ store, clock, random: secureRandom });
}

function rowsOf({ scope, budget, spent, reserved, doubtful }: BudgetState): readonly BudgetRow[] {
  return budgetUnits.flatMap((unit) => {
    const limit = budget[unit];
    const held = reserved[unit] + doubtful[unit];
    const isUsed = limit !== undefined || spent[unit] > 0 || held > 0;
    return isUsed ? [{ scope, unit, limit, spent: spent[unit], held }] : [];
  });
}

function allowed({ budget }: BudgetState): string {
  const bounds = budgetUnits.flatMap((unit) => {
    const most = budget[unit];
    return most === undefined ? [] : [`${amount(most)} ${unit}`];
  });
  return bounds.length === 0 ? "so much more than its budget" : bounds.join(", ");
}

function amount(value: number | undefined): string {
  return value === undefined ? "" : value.toLocaleString("en-US", { maximumFractionDigits: 6 });
}

function money(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("Give a number of at least 0.");
}
