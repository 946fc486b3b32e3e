/** Gates: who must show his results to others, by what he is trusted with. */
import type { TaskContext } from "../agent.ts";
import type { CadreOptions } from "../cadre.ts";
import type { TaskValidation } from "../proposals/validation.ts";
import type { StepJournal } from "../step-journal.ts";
import type { TeamContext } from "../team-context.ts";
import { checkTrust, Trust } from "./trust.ts";

/** The team with trust, where it is on. @throws {CadreError} INVALID_OPTION */
export function withTrust(base: TeamContext, options: CadreOptions): TeamContext {
  if (!options.trust) return base;
  const chosen = options.trust === true ? {} : options.trust;
  checkTrust(chosen);
  const trust = new Trust(base, chosen);
  if (!chosen.weighsVotes || base.weigh) return { ...base, trust };
  const people = new Set((options.people ?? []).map(({ name }) => name));
  const weigh: NonNullable<TeamContext["weigh"]> = (voter, capability) =>
    people.has(voter) ? 1 : trust.score(voter, capability);
  return { ...base, trust, weigh };
}

const gateStep = "trust.gate";

/**
 * What the results of a task must pass. Once it is decided it stays so for all attempts: a score
 * that changes meanwhile does not let a result go that was to be looked at. Only who takes the gate
 * itself away does.
 */
export async function validationOf(
  context: TaskContext,
  journal: StepJournal,
  { capability, own, trust }: GatedWork,
): Promise<TaskValidation | undefined> {
  const gate = own ?? trust?.gateFor(capability);
  const bound = trust ? gate?.below : undefined;
  if (bound === undefined) {
    await journal.load();
    // The gate is gone, or lets nobody through: what an earlier attempt has asked is asked for.
    if (journal.stateOf(gateStep)) await context.step(gateStep, () => false);
    return gate;
  }
  const isNeeded = await context.step(
    gateStep,
    () => (trust?.score(context.agent, capability) ?? 0) < bound,
  );
  return isNeeded ? gate : undefined;
}

export interface GatedWork {
  readonly capability: string;
  /** What the agent says of the task itself. */
  readonly own: TaskValidation | undefined;
  readonly trust: Trust | undefined;
}
