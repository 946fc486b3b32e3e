import { allProposals, loadProposal } from "../../agents/proposals/proposal-log.ts";
import { CadreError } from "../../core/errors.ts";
import type { EventStore } from "../../store/event-store.ts";
import { isShortOf, someOf } from "../short-id.ts";

/** The one id that begins or ends with `part`: a narrow table shows ids cut. */
export async function fullProposalId(store: EventStore, part: string): Promise<string> {
  if (await loadProposal(store, part)) return part;
  const ids = (await allProposals(store)).map(({ id }) => id);
  const matching = ids.filter((id) => isShortOf(part, id));
  if (matching.length === 0) throw unknownProposal(part);
  if (matching.length === 1) return matching[0]!;
  throw new CadreError(
    "INVALID_OPTION",
    `"${part}" stands for ${matching.length} proposals: ${someOf(matching)}. Give more of the id.`,
    { option: "id", value: part },
  );
}

export function unknownProposal(id: string): CadreError {
  const message = `There is no proposal "${id}" in this store. "cadre proposals --all" lists them.`;
  return new CadreError("NOT_FOUND", message, { what: "proposal", id });
}
