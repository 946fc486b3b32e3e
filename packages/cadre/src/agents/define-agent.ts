import type { WithBuiltinEvents } from "../core/builtin/registry.ts";
import { CadreError } from "../core/errors.ts";
import type { EventMap } from "../core/event-types.ts";
import {
  anything,
  checkOptions,
  someObject,
  someText,
  trueOrFalse,
  wholeNumber,
} from "../core/options.ts";
import { assertPattern } from "../core/pattern.ts";
import type { SagaDefinition } from "./define-saga.ts";
import { checkActiveWhen } from "./health/active-when.ts";
import { ballotTask } from "./proposals/ballots.ts";
import { debateWork, type DebatePart } from "./proposals/debate-tasks.ts";
import { checkValidation, type TaskValidation } from "./proposals/validation.ts";
import type { TaskDefinition } from "./task.ts";
import type { AgentDefinition, AgentOptions, EventWork, OnOptions, TaskWork } from "./agent.ts";

const namePattern = /^[a-z0-9_-]{1,64}$/;
const someWords = { expected: "a list of words", accepts: Array.isArray };

/**
 * Declares an agent. Pure: nothing runs before `startCadre`, and each `does` and `on` returns a new
 * definition.
 *
 * @throws {CadreError} INVALID_OPTION, for an unknown option, a name that isn't one word of
 *   `[a-z0-9_-]{1,64}`, a capacity that isn't a whole number above 0, a task that is given twice,
 *   or handlers of one group that contradict each other
 * @throws {CadreError} INVALID_PATTERN, when an `on` has no pattern
 */
export function defineAgent<State = undefined, Own extends object = EventMap>(
  options: AgentOptions<State, Own>,
): AgentDefinition<State, WithBuiltinEvents<Own>> {
  checkOptions("defineAgent", options, {
    name: {
      expected: "one word of [a-z0-9_-], at most 64 characters",
      accepts: (value) => typeof value === "string" && namePattern.test(value),
    },
    capabilities: someWords,
    specializations: someWords,
    events: someObject,
    capacity: wholeNumber(1),
    version: someText,
    stuckAfterMs: wholeNumber(1),
    activeWhen: someObject,
    state: someObject,
    identity: someObject,
  });
  if (options.activeWhen) checkActiveWhen(options.activeWhen);
  // The registry types events for their users; inside, all events are alike.
  const { name, capacity = 1, capabilities = none, ...rare } = options;
  const agent: unknown = new Definition<State>({
    name,
    capacity,
    capabilities: listOf(capabilities),
    rare: Object.keys(rare).length === 0 ? nothing : rare,
    tasks: none,
    events: none,
  });
  return agent as AgentDefinition<State, WithBuiltinEvents<Own>>;
}

function checkOn<State>(
  agent: string,
  pattern: string,
  options: OnOptions,
  earlier: readonly EventWork<State>[],
): void {
  assertPattern(pattern);
  checkOptions(`on("${pattern}")`, options, {
    filter: anything,
    retry: someObject,
    timeoutMs: wholeNumber(0),
    ephemeral: trueOrFalse,
    concurrency: wholeNumber(1),
  });
  const refuse = (option: string, why: string): never => {
    throw new CadreError("INVALID_OPTION", `Agent "${agent}", on("${pattern}"): ${why}`, {
      option,
    });
  };
  if (options.ephemeral && options.retry) {
    refuse("retry", "an ephemeral handler is not retried. Leave out one of the two.");
  }
  if (options.ephemeral) return;
  for (const option of ["retry", "timeoutMs"] as const) {
    const other = earlier.find(({ options: set }) => !set.ephemeral && set[option] !== undefined);
    const same = JSON.stringify(other?.options[option]) === JSON.stringify(options[option]);
    if (!other || options[option] === undefined || same) continue;
    refuse(option, `"${other.pattern}" sets another one, and both are one group. Set it once.`);
  }
}

function assertNewTask(
  agent: string,
  { name, version }: TaskDefinition,
  tasks: readonly TaskWork<never>[],
): void {
  const same = ({ definition }: TaskWork<never>): boolean =>
    definition.name === name && definition.version === version;
  if (!tasks.some(same)) return;
  throw new CadreError(
    "INVALID_OPTION",
    `Agent "${agent}" does task "${name}" ${version} already. Give one handler for each version.`,
    { option: "does", value: name },
  );
}

/** What an agent that does the saga hears for it. */
function sagaEvents<State>(saga: SagaDefinition<unknown, unknown>): readonly EventWork<State>[] {
  return [...saga.starts, ...saga.expects].map(
    ({ pattern, filter, unknown = "refuse", ...rest }) => ({
      pattern,
      options: filter === undefined ? {} : { filter },
      correlation: { saga, unknown, ...rest },
      run: () => undefined,
    }),
  );
}

/** What a definition without any of it has: shared, for ten thousand idle agents. */
const none: readonly never[] = Object.freeze([]);
const nothing: Readonly<Record<string, undefined>> = Object.freeze({});

const maxLists = 256; // of capabilities that are kept once; beyond it the sharing begins anew
const lists = new Map<string, readonly string[]>();

/** In their order and each once; the same list for all agents that can do the same. */
function listOf(words: Iterable<string>): readonly string[] {
  const sorted = [...new Set(words)].sort();
  const key = JSON.stringify(sorted);
  const known = lists.get(key);
  if (known) return known;
  if (lists.size === maxLists) lists.clear();
  // Copied: a list that was sorted in place keeps more room than it needs.
  const list = Object.freeze(sorted.slice());
  lists.set(key, list);
  return list;
}

/** What most agents have nothing of. */
type Rare<State> = Omit<AgentOptions<State>, "name" | "capacity" | "capabilities">;

interface Parts<State> extends Pick<
  AgentDefinition<State>,
  "name" | "capacity" | "capabilities" | "tasks" | "events"
> {
  readonly rare: Rare<State>;
}

/** Its methods are on the prototype: a closure an agent for each would be most of an idle one. */
class Definition<State> {
  readonly name: string;
  readonly capacity: number;
  readonly capabilities: readonly string[];
  readonly tasks: readonly TaskWork<State>[];
  readonly events: readonly EventWork<State>[];
  readonly #rare: Rare<State>;

  constructor({ name, capacity, capabilities, tasks, events, rare }: Parts<State>) {
    this.#rare = rare;
    this.name = name;
    this.capacity = capacity;
    this.capabilities = capabilities;
    this.tasks = tasks;
    this.events = events;
    Object.freeze(this);
  }

  get specializations(): readonly string[] {
    return this.#rare.specializations ?? none;
  }

  get version(): string | undefined {
    return this.#rare.version;
  }

  get stuckAfterMs(): number | undefined {
    return this.#rare.stuckAfterMs;
  }

  get activeWhen(): AgentOptions<State>["activeWhen"] {
    return this.#rare.activeWhen;
  }

  get registry(): AgentOptions<State>["events"] {
    return this.#rare.events;
  }

  get state(): AgentOptions<State>["state"] {
    return this.#rare.state;
  }

  get identity(): AgentOptions<State>["identity"] {
    return this.#rare.identity;
  }

  does(task: TaskDefinition, second?: unknown, third?: unknown): Definition<State> {
    const { validate } = (third === undefined ? {} : second) as { validate?: TaskValidation };
    if (validate) checkValidation(task.name, validate);
    const given = third ?? second;
    assertNewTask(this.name, task, this.tasks);
    const saga = "runSteps" in task ? (task as SagaDefinition<unknown, unknown>) : undefined;
    const run = given ?? saga?.runSteps;
    // The handler's types belong to the definition beside it, which checks what goes in and out.
    const asked = validate ? { definition: task, run, validate } : { definition: task, run };
    const work = asked as unknown as TaskWork<State>;
    const heard = saga && !given ? sagaEvents<State>(saga) : [];
    return Definition.#with(this, [work], heard);
  }

  votes(run: unknown): Definition<State> {
    assertNewTask(this.name, ballotTask(this.name), this.tasks);
    const work = { definition: ballotTask(this.name), run } as unknown as TaskWork<State>;
    return Definition.#with(this, [work], []);
  }

  debates(part: DebatePart<never>): Definition<State> {
    const parts = debateWork(this.name, part) as unknown as readonly TaskWork<State>[];
    for (const { definition } of parts) assertNewTask(this.name, definition, this.tasks);
    return Definition.#with(this, parts, []);
  }

  on(
    pattern: string,
    second: OnOptions | EventWork<State>["run"],
    third?: EventWork<State>["run"],
  ): Definition<State> {
    const run = typeof second === "function" ? second : third!;
    const options = typeof second === "function" ? {} : second;
    checkOn(this.name, pattern, options, this.events);
    return Definition.#with(this, [], [{ pattern, options, run }]);
  }

  // Static: a private method takes room in each agent.
  static #with<State>(
    before: Definition<State>,
    tasks: readonly TaskWork<State>[],
    events: readonly EventWork<State>[],
  ): Definition<State> {
    const { name, capacity, capabilities } = before;
    const asked = tasks.map(({ definition }) => definition.capability);
    return new Definition({
      name,
      capacity,
      capabilities: tasks.length === 0 ? capabilities : listOf([...capabilities, ...asked]),
      rare: before.#rare,
      tasks: tasks.length === 0 ? before.tasks : before.tasks.concat(tasks),
      events: events.length === 0 ? before.events : before.events.concat(events),
    });
  }
}
