/** `cadre proposals people`: who may vote by which role. */
import type { Command } from "commander";

import { listPeople, removePerson, setPerson, type Person } from "../../agents/proposals/people.ts";
import { CadreError } from "../../core/errors.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { tableLines } from "../table.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface PeopleFlags extends HomeFlags {
  readonly role?: readonly string[];
  readonly remove?: boolean;
  readonly json?: boolean;
}

export function addPeople(proposals: Command, context: CommandContext): void {
  const people = proposals.command("people").summary("list people, or give one roles");
  people
    .description("Lists people and their roles; with a name and --role, gives that person these.")
    .argument("[name]", "whose roles to set")
    .option("--role <role...>", "the roles; what the person had before is forgotten")
    .option("--remove", "take the person off the list");
  printing(homeFlags(people), [
    "cadre proposals people",
    "cadre proposals people ana --role release-manager security",
  ]);
  people.action((name: string | undefined, flags: PeopleFlags) =>
    name === undefined ? list(context, flags) : change(context, name, flags),
  );
}

async function list(context: CommandContext, flags: PeopleFlags): Promise<void> {
  const { output } = context;
  await withStore(context, flags, async (store) => {
    const people = await listPeople(store);
    if (flags.json) {
      for (const person of people) await output.json(person);
      return;
    }
    if (people.length === 0) return output.note("Nobody has a role.");
    const columns = [
      { title: "name", text: ({ name }: Person) => name },
      { title: "roles", text: ({ roles }: Person) => roles.join(", ") },
    ];
    await output.lines(tableLines(output, columns, people));
  });
}

async function change(context: CommandContext, name: string, flags: PeopleFlags): Promise<void> {
  const { output } = context;
  const { role: roles = [], remove } = flags;
  if (!remove && roles.length === 0) {
    const message = `Say which roles "${name}" has, with --role, or give --remove.`;
    throw new CadreError("INVALID_OPTION", message, { option: "role" });
  }
  await withStore(context, flags, async (store) => {
    if (!remove) await setPerson(store, { name, roles });
    else if (!(await removePerson(store, name))) {
      const message = `There is no person "${name}". "cadre proposals people" lists them.`;
      throw new CadreError("NOT_FOUND", message, { what: "person", id: name });
    }
    if (flags.json) return output.json({ name, roles: remove ? [] : roles });
    await output.line(remove ? `${name} is on the list no more.` : `${name}: ${roles.join(", ")}`);
  });
}
