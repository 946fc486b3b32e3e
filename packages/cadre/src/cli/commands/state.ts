/** `cadre state`: what an agent or a projection knew at a point in the log, and what changed. */
import type { Command } from "commander";

import type { AnyAgent } from "../../agents/agent.ts";
import { teamRegistry } from "../../agents/team-registry.ts";
import { diffAgent, reconstruct } from "../../agents/reconstruct.ts";
import { CadreError } from "../../core/errors.ts";
import { nearestName } from "../../core/options.ts";
import type { EventRegistry } from "../../core/registry.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { LogPoint } from "../../store/log-point.ts";
import { foldProjection, type Projection } from "../../store/projection.ts";
import type { StateChange } from "../../store/state-difference.ts";
import { diffProjection, type LogSpan, type StateDifference } from "../../store/time-travel.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { importModule } from "../module-file.ts";
import { parseInstant } from "../time-text.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface StateFlags extends HomeFlags {
  readonly at?: string;
  readonly since?: string;
  readonly json?: boolean;
}

/** Something of a module whose state can be folded. */
interface Subject {
  readonly name: string;
  readonly kind: "agent" | "projection";
  stateAt(
    store: EventStore,
    upTo: LogPoint | undefined,
  ): Promise<{ readonly position: number; readonly state: unknown }>;
  difference(store: EventStore, span: LogSpan): Promise<StateDifference<unknown>>;
}

/** `cadre state` */
export function addState(program: Command, context: CommandContext): void {
  const command = program.command("state").summary("print a state as of a point in the past");
  command
    .description(
      "Prints the state of an agent or of a projection that a module exports, as of a position " +
        "of the log or of a time, or what changed in it since another. Without a name: lists " +
        "what there is. Writes nothing.",
    )
    .argument("<file>", "the module: team.ts, team.js")
    .argument("[name]", "the agent's or the projection's name")
    .option("--at <point>", "a position of the log, or a time: 4711, 10m, 2026-11-21T08:00")
    .option("--since <point>", "print what changed from then on");
  printing(homeFlags(command), [
    "cadre state team.ts",
    "cadre state team.ts teller --at 10m",
    "cadre state team.ts teller --since 4000 --at 4711",
  ]);
  command.action((file: string, name: string | undefined, flags: StateFlags) =>
    printState(context, { file, name, flags }),
  );
}

interface Question {
  readonly file: string;
  readonly name: string | undefined;
  readonly flags: StateFlags;
}

async function printState(context: CommandContext, { file, name, flags }: Question): Promise<void> {
  const { clock, output } = context;
  const now = clock.now();
  const at = flags.at === undefined ? undefined : parsePoint("--at", flags.at, now);
  const since = flags.since === undefined ? undefined : parsePoint("--since", flags.since, now);
  const module = await importModule(file, context.cwd);
  await withStore(context, flags, async (store, config) => {
    const subjects = subjectsOf(module, config.events);
    if (name === undefined) return listSubjects(context, subjects, flags);
    const subject = find(subjects, file, name);
    if (since !== undefined) {
      const span = { from: since, ...(at === undefined ? {} : { to: at }) };
      return printDifference(context, await subject.difference(store, span), flags);
    }
    const { position, state } = await subject.stateAt(store, at);
    if (flags.json) return output.json({ name, position, state });
    const text = JSON.stringify(state, undefined, 2) ?? String(state);
    output.note(`${subject.kind} ${name} as of position ${position}`);
    return output.lines(text.split("\n"));
  });
}

/** A number is a position, anything else a time. */
function parsePoint(option: string, text: string, now: number): LogPoint {
  if (/^\d{1,11}$/.test(text)) return Number(text);
  return new Date(parseInstant(option, text, now));
}

async function listSubjects(
  { output }: CommandContext,
  subjects: readonly Subject[],
  flags: StateFlags,
): Promise<void> {
  if (subjects.length === 0)
    output.note("The module exports no agent with a state, no projection.");
  for (const { name, kind } of subjects) {
    await (flags.json ? output.json({ name, kind }) : output.line(`${kind} ${name}`));
  }
}

async function printDifference(
  { output }: CommandContext,
  { from, to, changes }: StateDifference<unknown>,
  flags: StateFlags,
): Promise<void> {
  if (flags.json) return output.json({ from: from.position, to: to.position, changes });
  output.note(`from position ${from.position} to ${to.position}: ${changes.length} changes`);
  await output.lines(changes.map(changeLine));
}

function changeLine({ kind, path, before, after }: StateChange): string {
  const place = path === "" ? "(all)" : path;
  if (kind === "added") return `+ ${place} ${JSON.stringify(after)}`;
  if (kind === "removed") return `- ${place} ${JSON.stringify(before)}`;
  return `~ ${place} ${JSON.stringify(before)} → ${JSON.stringify(after)}`;
}

function find(subjects: readonly Subject[], file: string, name: string): Subject {
  const found = subjects.find((subject) => subject.name === name);
  if (found) return found;
  const names = subjects.map((subject) => subject.name);
  const closest = nearestName(name, names);
  const hint = closest === undefined ? `It has: ${names.join(", ")}.` : `Did you mean ${closest}?`;
  const message = `${file} exports no agent with a state, and no projection, "${name}". ${hint}`;
  throw new CadreError("NOT_FOUND", message, { what: "state", id: name });
}

function subjectsOf(
  module: Readonly<Record<string, unknown>>,
  events: EventRegistry | undefined,
): readonly Subject[] {
  const subjects = new Map<string, Subject>();
  const exported = Object.values(module).flatMap((value) =>
    Array.isArray(value) ? value : [value],
  );
  for (const value of exported as readonly unknown[]) {
    if (isProjection(value)) subjects.set(value.name, projectionSubject(value));
    else if (isStatefulAgent(value)) subjects.set(value.name, agentSubject(value, events));
  }
  return [...subjects.values()];
}

function agentSubject(agent: AnyAgent, own: EventRegistry | undefined): Subject {
  const events = teamRegistry({ agents: [agent], ...(own ? { events: own } : {}) });
  return {
    name: agent.name,
    kind: "agent",
    stateAt: (store, upTo) =>
      reconstruct<unknown>(store, agent, { events, ...(upTo === undefined ? {} : { upTo }) }),
    difference: (store, span) => diffAgent<unknown>(store, agent, { events, ...span }),
  };
}

function projectionSubject(projection: Projection<unknown>): Subject {
  return {
    name: projection.name,
    kind: "projection",
    stateAt: (store, upTo) => foldProjection(store, projection, upTo === undefined ? {} : { upTo }),
    difference: (store, span) => diffProjection(store, projection, span),
  };
}

function isProjection(value: unknown): value is Projection<unknown> {
  return isRecord(value) && "wants" in value && "apply" in value && "initial" in value;
}

function isStatefulAgent(value: unknown): value is AnyAgent {
  return isRecord(value) && "capabilities" in value && "does" in value && isRecord(value["state"]);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
