import { CadreError } from "../core/errors.ts";
import type { AgentDefinition, AgentOptions, EventWork, OnOptions, TaskWork } from "./agent.ts";

const namePattern = /^[a-z0-9_-]{1,64}$/;

/**
 * Declares an agent. Pure: nothing runs before `startCadre`, and each `does` and `on` returns a new
 * definition.
 *
 * @throws {CadreError} INVALID_OPTION, when the name isn't one word of `[a-z0-9_-]{1,64}`, the
 * capacity isn't a whole number
 *   above 0, or a task is given twice
 */
export function defineAgent<State = undefined>(
  options: AgentOptions<State>,
): AgentDefinition<State> {
  if (!namePattern.test(options.name)) {
    throw new CadreError(
      "INVALID_OPTION",
      `The agent's name "${options.name}" isn't one word of [a-z0-9_-], at most 64 characters.`,
      { option: "name", value: options.name },
    );
  }
  const capacity = options.capacity ?? 1;
  if (!Number.isInteger(capacity) || capacity < 1) {
    throw new CadreError(
      "INVALID_OPTION",
      `The capacity of agent "${options.name}" is ${capacity}. Give a whole number above 0.`,
      { option: "capacity", value: capacity },
    );
  }
  return build(options, capacity, [], []);
}

function build<State>(
  options: AgentOptions<State>,
  capacity: number,
  tasks: readonly TaskWork<State>[],
  events: readonly EventWork<State>[],
): AgentDefinition<State> {
  const capabilities = new Set([
    ...(options.capabilities ?? []),
    ...tasks.map((work) => work.definition.capability),
  ]);
  const definition: AgentDefinition<State> = {
    name: options.name,
    capacity,
    capabilities: [...capabilities].sort(),
    specializations: options.specializations ?? [],
    tasks,
    events,
    ...(options.state === undefined ? {} : { state: options.state }),
    does(task, run) {
      if (tasks.some((work) => work.definition.name === task.name)) {
        throw new CadreError(
          "INVALID_OPTION",
          `Agent "${options.name}" does task "${task.name}" already. Give one handler for each task.`,
          { option: "does", value: task.name },
        );
      }
      // The handler's types belong to the definition beside it, which checks what goes in and out.
      const work = { definition: task, run } as unknown as TaskWork<State>;
      return build(options, capacity, [...tasks, work], events);
    },
    on(
      pattern: string,
      second: OnOptions | EventWork<State>["run"],
      third?: EventWork<State>["run"],
    ) {
      const run = typeof second === "function" ? second : third!;
      const onOptions = typeof second === "function" ? {} : second;
      return build(options, capacity, tasks, [...events, { pattern, options: onOptions, run }]);
    },
  };
  return Object.freeze(definition);
}
