/**
 * A task that waits is not what ends its owners, however many it loses in weeks: when it comes as
 * far as a wait after it has lost one, it says so, and those before are not laid to it any more.
 */
import type { StepJournal } from "./step-journal.ts";
import { taskWaits } from "./task-events.ts";
import type { SlotHold } from "./task-slots.ts";
import type { TaskWriter } from "./task-writer.ts";
import type { TeamContext } from "./team-context.ts";

/** Notes the first wait of this run on record, if it matters. */
export function noteWaits(
  context: TeamContext,
  slot: SlotHold,
  writer: TaskWriter,
  journal: () => StepJournal | undefined,
): void {
  let isNoted = false;
  slot.onWait = () => {
    const { lost, undoing } = writer.state;
    const known = journal();
    // A step that runs beside the wait may yet be what ends them.
    if (isNoted || lost === 0 || undoing || !known || isWorking(known)) return;
    isNoted = true;
    // A note that could not be written costs nothing here: at worst this owner counts too.
    writer.append([taskWaits(context, writer.entry)]).catch(() => undefined);
  };
}

function isWorking(journal: StepJournal): boolean {
  for (const name of journal.asked.keys()) {
    const status = journal.stateOf(name)?.status ?? "begun";
    if (journal.callOf(name) && (status === "begun" || status === "refused")) return true;
  }
  return false;
}
