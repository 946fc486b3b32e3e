/** `cadre groups`: the consumer groups of the bus, and how far they are. */
import type { Command } from "commander";

import type { GroupState } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import { nearestName } from "../../core/options.ts";
import type { CommandContext } from "../command-context.ts";
import { withBus, type HomeFlags } from "../home.ts";
import { tableLines, type Column } from "../table.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";

interface ListFlags extends HomeFlags {
  readonly json?: boolean;
}

interface DeleteFlags extends ListFlags {
  readonly yes?: boolean;
}

/** `cadre groups` */
export function addGroups(program: Command, context: CommandContext): void {
  const groups = program.command("groups").summary("list consumer groups, and delete one");
  groups.description(
    "Consumer groups: durable names under which subscribers, and agents, share events. " +
      "Without a command it lists them.",
  );
  withExamples(groups, ["cadre groups", "cadre groups delete agent.translator --yes"]);
  const list = groups.command("list", { isDefault: true }).summary("list them, and their places");
  list.description("Lists the groups of the bus, with members or without, and how far they are.");
  printing(homeFlags(list), ["cadre groups", "cadre groups list --json"]);
  list.allowExcessArguments().action((flags: ListFlags) => {
    refuseWords(list);
    return listGroups(context, flags);
  });

  const remove = groups.command("delete").summary("forget a group and what it had not handled");
  remove
    .description(
      "Forgets a group: its place, its definition and what it had not handled. Its members get " +
        "nothing more until they subscribe again. Its dead letters stay.",
    )
    .argument("<name>", "the group, as the list shows it; agents are agent.NAME")
    .option("--yes", "really delete");
  printing(homeFlags(remove), ["cadre groups delete agent.translator --yes"]);
  remove.action((name: string, flags: DeleteFlags) => deleteGroup(context, name, flags));
}

async function listGroups(context: CommandContext, flags: ListFlags): Promise<void> {
  const { output } = context;
  await withBus(context, flags, async (bus) => {
    const groups = await bus.groups();
    if (flags.json) for (const group of groups) await output.json(group);
    else if (groups.length === 0) output.note("The bus has no groups.");
    else await output.lines(tableLines(output, columns, groups));
  });
}

const columns: readonly Column<GroupState>[] = [
  { title: "group", text: ({ name }) => name, keep: "end", least: 12, style: () => "cyan" },
  { title: "position", text: ({ position }) => position ?? "", align: "right", from: 80 },
  { title: "behind", text: ({ behind }) => countText(behind), align: "right" },
  { title: "open", text: ({ open }) => countText(open), align: "right" },
  { title: "definition", text: ({ definition }) => definition, least: 12 },
];

function countText(count: number | undefined): string {
  return count === undefined ? "?" : String(count);
}

async function deleteGroup(
  context: CommandContext,
  name: string,
  flags: DeleteFlags,
): Promise<void> {
  const { output } = context;
  await withBus(context, flags, async (bus) => {
    const groups = await bus.groups();
    const group = groups.find((each) => each.name === name);
    if (!group) throw notFound(name, groups);
    if (!flags.yes) {
      const message =
        `This would forget the place of "${name}" in the log and the events it has not handled ` +
        `(behind by ${countText(group.behind)}, open ${countText(group.open)}). ` +
        "Add --yes if that is what you want.";
      throw new CadreError("INVALID_OPTION", message, { option: "yes" });
    }
    await bus.deleteGroup(name);
    await (flags.json
      ? output.json({ group: name, deleted: true })
      : output.text(`Deleted the group ${name}.`));
  });
}

function notFound(name: string, groups: readonly GroupState[]): CadreError {
  const closest = nearestName(
    name,
    groups.map((group) => group.name),
  );
  const hint = closest === undefined ? '"cadre groups" lists them.' : `Did you mean "${closest}"?`;
  const message = `There is no group "${name}". ${hint}`;
  return new CadreError("NOT_FOUND", message, { what: "group", id: name });
}
