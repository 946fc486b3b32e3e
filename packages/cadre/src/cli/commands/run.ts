import type { Command } from "commander";

import { startCadre } from "../../agents/start-cadre.ts";
import type { Cadre, CadreOptions } from "../../agents/cadre.ts";
import type { DrainReport } from "../../bus/bus.ts";
import { CadreError } from "../../core/errors.ts";
import { wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import type { CadreConfig } from "../config.ts";
import { errorText, exitCodes } from "../exit-code.ts";
import { configured, located, type HomeFlags } from "../home.ts";
import { importModule } from "../module-file.ts";
import { durationText } from "../time-text.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface RunFlags extends HomeFlags {
  readonly once?: boolean;
  readonly deadline: number;
  readonly json?: boolean;
}

/** What a module of a team exports. */
interface TeamModule {
  readonly agents: NonNullable<CadreOptions["agents"]>;
  readonly options: CadreOptions;
  readonly work?: (team: Cadre) => unknown;
}

const presetDeadlineMs = 10_000;

/** `cadre run` */
export function addRun(program: Command, context: CommandContext): void {
  const command = program.command("run").summary("run the team that a module exports");
  command
    .description(
      "Runs the agents that a module exports, until Ctrl-C: then running work ends or is " +
        "given back. A second Ctrl-C ends at once.\n\n" +
        "The module exports `agents`, a list, and if it likes `cadre`, options of startCadre, " +
        "and `work(team)`, which is called when all agents work.",
    )
    .argument("<file>", "the module: team.ts, team.js")
    .option("--once", "end when work(team) has returned")
    .option("--deadline <ms>", "time that running work has to end", wholeFrom(0), presetDeadlineMs);
  printing(homeFlags(command), [
    "cadre run team.ts",
    "cadre run team.ts --store sqlite:./team.db",
    "cadre run import-orders.ts --once",
  ]);
  command.action((file: string, flags: RunFlags) => run(context, file, flags));
}

async function run(context: CommandContext, file: string, flags: RunFlags): Promise<void> {
  const { output } = context;
  const module = await loadTeam(context, file);
  if (flags.once && !module.work) {
    const message = `--once ends when work(team) is done, and ${file} exports no function "work".`;
    throw new CadreError("INVALID_OPTION", message, { option: "once" });
  }
  const {
    agents: _agents,
    clock: _clock,
    random: _random,
    logger: _logger,
    ...settings
  } = module.options;
  const { config } = await configured(context, flags, settings satisfies CadreConfig);
  const team = await startCadre({
    ...module.options,
    ...config,
    ...(config.store === undefined ? {} : { store: located(config.store, context.cwd) }),
    ...(config.bus === undefined ? {} : { bus: located(config.bus, context.cwd) }),
    agents: module.agents,
  });
  const names = module.agents.map(({ name }) => name);
  if (flags.json)
    await output.json({ started: team.name, agents: names, store: placeOf(config.store) });
  else {
    const what = `${names.length} ${names.length === 1 ? "agent" : "agents"}: ${names.join(", ")}`;
    await output.text(`${team.name} runs on ${placeOf(config.store)}. ${what}.`);
    output.note(flags.once ? "It ends when its work is done." : "Ctrl-C ends it in order.");
  }
  const failure = await untilEnd(context, team, module, flags);
  if (context.interrupt.hit && !flags.json)
    output.note("Ending in order; Ctrl-C again ends at once.");
  const report = await team.close({ deadlineMs: failure ? 0 : flags.deadline });
  await printReport(context, report, flags);
  if (!failure) return;
  output.note(errorText(failure.error));
  context.exit(exitCodes.failed);
}

interface Failure {
  readonly error: unknown;
}

/** Resolves when the run shall end, with what made it fail, if that is why. */
async function untilEnd(
  context: CommandContext,
  team: Cadre,
  module: TeamModule,
  flags: RunFlags,
): Promise<Failure | undefined> {
  const { promise, resolve } = Promise.withResolvers<Failure | undefined>();
  const fail = (error: unknown): void => resolve({ error });
  const stop = (): void => resolve(undefined);
  const unlisten = team.bus.onError(({ severity, origin, message, cause }) => {
    if (severity === "critical" && origin === "local") fail(cause ?? new Error(message));
    else if (severity !== "warning") context.output.note(`cadre: ${message}`);
  });
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  context.stop.addEventListener("abort", stop, { once: true });
  if (context.stop.aborted) stop();
  void team.closed.then(stop);
  void callWork(module, team).then(flags.once ? stop : () => {}, fail);
  try {
    return await promise;
  } finally {
    unlisten();
    context.stop.removeEventListener("abort", stop);
    process.off("uncaughtException", fail);
    process.off("unhandledRejection", fail);
  }
}

async function callWork({ work }: TeamModule, team: Cadre): Promise<void> {
  await work?.(team);
}

async function printReport(
  context: CommandContext,
  report: DrainReport,
  flags: RunFlags,
): Promise<void> {
  const { output } = context;
  if (flags.json) return output.json({ drained: report });
  const { finished, released, aborted, failedRequests, elapsedMs } = report;
  const parts = [`${finished} finished`, `${released} given back`, `${aborted} aborted`];
  if (failedRequests > 0) parts.push(`${failedRequests} requests failed`);
  const how = report.clean ? "cleanly" : "with work left, which others take up";
  return output.text(`Drained ${how} in ${durationText(elapsedMs)}: ${parts.join(", ")}.`);
}

async function loadTeam(context: CommandContext, file: string): Promise<TeamModule> {
  const { agents, cadre = {}, work } = await importModule(file, context.cwd);
  if (!Array.isArray(agents)) {
    const message = `${file} exports no list "agents": export const agents = [defineAgent(…)];`;
    throw new CadreError("INVALID_OPTION", message, { option: "agents", value: agents });
  }
  if (typeof cadre !== "object" || cadre === null) {
    const message = `"cadre", as ${file} exports it, is no object. Give options of startCadre.`;
    throw new CadreError("INVALID_OPTION", message, { option: "cadre", value: cadre });
  }
  if (work !== undefined && typeof work !== "function") {
    const message = `"work", as ${file} exports it, is no function.`;
    throw new CadreError("INVALID_OPTION", message, { option: "work", value: work });
  }
  return {
    // startCadre checks what is in it.
    agents: agents as TeamModule["agents"],
    options: cadre,
    ...(work === undefined ? {} : { work: work as NonNullable<TeamModule["work"]> }),
  };
}

function placeOf(store: CadreConfig["store"]): string {
  return typeof store === "string" ? store : (store?.name ?? "memory:");
}
