/**
 * The steps of a saga, typed: each sees the results of the earlier ones by name, and so do the
 * undos. A list of steps is a value; every call returns a new one.
 */
import type { AgentEvent } from "../core/event.ts";
import { CadreError } from "../core/errors.ts";
import type { FilterDocument } from "../core/filter.ts";
import { assertPattern } from "../core/pattern.ts";
import type { TaskContext } from "./agent.ts";
import type { StepOptions } from "./step-options.ts";
import type { TaskDefinition } from "./task.ts";

/** What a step of a saga is given. */
export interface SagaScope<Input, Results> {
  readonly input: Input;
  /** Of the steps before this one, by their names. */
  readonly results: Results;
  /** The step's key: the same in every attempt. */
  readonly key: string;
  readonly signal: AbortSignal;
}

/** What the undo of a saga's step is given. */
export interface SagaUndoScope<Input, Results, Result> extends Omit<
  SagaScope<Input, Results>,
  "signal"
> {
  /** `undefined` where the step was in doubt and its policy is "retry". */
  readonly result: Result | undefined;
}

export interface SagaStepOptions<Input, Results, Result> extends Omit<
  StepOptions<Result>,
  "undo" | "check"
> {
  /** See `StepOptions.undo`. */
  readonly undo?: (scope: SagaUndoScope<Input, Results, Result>) => unknown;
  /** See `StepOptions.check`. */
  readonly check?: (
    scope: Omit<SagaScope<Input, Results>, "signal">,
  ) => Promise<Result | undefined> | Result | undefined;
}

type Given<Input, Results> = Pick<SagaScope<Input, Results>, "input" | "results">;

export interface SagaWaitOptions<Input, Results> {
  /** Which of the events that match the pattern. */
  readonly where?: (scope: Given<Input, Results>) => FilterDocument;
  /** Without an event by then, the result is `undefined`. @default none */
  readonly timeoutMs?: number;
}

type And<Results, Name extends string, Result> = Results & { readonly [Key in Name]: Result };

// Any input and output: only the results are asked for.
// oxlint-disable-next-line typescript/no-explicit-any
type ResultsOf<Branch> = Branch extends (start: any) => SagaSteps<any, infer Results, any>
  ? Results
  : never;

type Merged<Union> = (Union extends unknown ? (part: Union) => void : never) extends (
  part: infer All,
) => void
  ? All
  : never;

type NamedResults = Readonly<Record<string, unknown>>;

/** Where a run of the steps stands. */
export interface SagaFrame {
  readonly input: unknown;
  readonly results: NamedResults;
  readonly ctx: TaskContext;
  /** Goes before the names in the journal: a saga within a saga has its own. */
  readonly prefix: string;
}

/** A part of a saga: gives its results by name. */
export interface SagaNode {
  /** What it takes of the names in the journal. */
  readonly names: readonly string[];
  run(frame: SagaFrame): Promise<NamedResults>;
}

/** A saga that can be a step of another one. */
export interface NestedSaga<Input, Output> extends TaskDefinition<Input, Output> {
  /** Of all its steps, those of the sagas within it too. */
  readonly stepNames: readonly string[];
  /** Runs the steps within somebody else's journal. */
  readonly runSteps: (input: Input, ctx: TaskContext, prefix?: string) => Promise<Output>;
}

export interface SagaSteps<Input, Results, Output = Results> {
  readonly nodes: readonly SagaNode[];
  readonly finish: ((frame: SagaFrame) => Output) | undefined;
  /** One durable step; see `AgentContext.step`. */
  step<const Name extends string, Result>(
    name: Name,
    run: (scope: SagaScope<Input, Results>) => Promise<Result> | Result,
    options?: SagaStepOptions<Input, Results, Result>,
  ): SagaSteps<Input, And<Results, Name, Result>>;
  /** Branches that run side by side. When one fails, what the others have done is undone too. */
  parallel<
    Branches extends readonly ((
      start: SagaSteps<Input, Results>,
    ) => SagaSteps<Input, Results, unknown>)[],
  >(
    ...branches: Branches
  ): SagaSteps<Input, Results & Merged<ResultsOf<Branches[number]>>>;
  /** Another saga as a step: its steps are undone with this saga's. */
  saga<const Name extends string, ChildInput, ChildOutput>(
    name: Name,
    saga: NestedSaga<ChildInput, ChildOutput>,
    input: (scope: Given<Input, Results>) => ChildInput,
  ): SagaSteps<Input, And<Results, Name, ChildOutput>>;
  /** A child task. It has a life of its own: nothing of it is undone with this saga. */
  call<const Name extends string, ChildInput, ChildOutput>(
    name: Name,
    task: TaskDefinition<ChildInput, ChildOutput>,
    input: (scope: Given<Input, Results>) => ChildInput,
  ): SagaSteps<Input, And<Results, Name, ChildOutput>>;
  /** A durable sleep. */
  sleep(
    name: string,
    ms: number | ((scope: Given<Input, Results>) => number),
  ): SagaSteps<Input, Results>;
  /** See `TaskContext.waitFor`. */
  waitFor<const Name extends string>(
    name: Name,
    pattern: string,
    options?: SagaWaitOptions<Input, Results>,
  ): SagaSteps<Input, And<Results, Name, AgentEvent | undefined>>;
  /** What the saga's result is. @default the results of all steps by name */
  returns<Result>(
    finish: (scope: Given<Input, Results>) => Result,
  ): SagaSteps<Input, Results, Result>;
}

/** The list without a step. @param taken names that are in use outside of it */
export function noSteps<Input>(taken: readonly string[] = []): SagaSteps<Input, unknown> {
  return stepsOf<Input, unknown>([], taken);
}

/** Runs nodes one after the other; resolves with the frame after the last. */
export async function runNodes(nodes: readonly SagaNode[], frame: SagaFrame): Promise<SagaFrame> {
  let { results } = frame;
  for (const node of nodes) results = { ...results, ...(await node.run({ ...frame, results })) };
  return { ...frame, results };
}

function stepsOf<Input, Results>(
  nodes: readonly SagaNode[],
  taken: readonly string[],
): SagaSteps<Input, Results> {
  const used = new Set([...taken, ...nodes.flatMap(({ names }) => names)]);
  const and = <More>(names: readonly string[], run: SagaNode["run"]): SagaSteps<Input, More> => {
    assertNew(names, used);
    return stepsOf<Input, More>([...nodes, { names, run }], taken);
  };
  // A frame holds what the steps before it have given: the builder's types say what that is.
  const given = ({ input, results }: SagaFrame): Given<Input, Results> => ({
    input: input as Input,
    results: results as Results,
  });
  return {
    nodes,
    finish: undefined,
    step: (name, run, options = {}) =>
      and([name], async (frame) => ({
        [name]: await runStep(frame, name, given(frame), run, options),
      })),
    parallel: (...branches) => {
      const lists = branches.map((branch) => branch(stepsOf<Input, Results>([], [...used])).nodes);
      const names = lists.flatMap((list) => list.flatMap((node) => node.names));
      return and(names, (frame) => runBranches(lists, frame));
    },
    saga: (name, saga, input) =>
      and([name, ...saga.stepNames.map((inner) => `${name}.${inner}`)], async (frame) => {
        const { ctx, prefix } = frame;
        const childInput = saga.checkInput(input(given(frame)));
        return { [name]: await saga.runSteps(childInput, ctx, `${prefix}${name}.`) };
      }),
    call: (name, task, input) =>
      and([name], async (frame) => ({
        [name]: await frame.ctx.call(`${frame.prefix}${name}`, task, input(given(frame))),
      })),
    sleep: (name, ms) =>
      and([name], async (frame) => {
        const forMs = typeof ms === "number" ? ms : ms(given(frame));
        await frame.ctx.sleep(`${frame.prefix}${name}`, forMs);
        return {};
      }),
    waitFor: (name, pattern, options = {}) => {
      assertPattern(pattern);
      return and([name], async (frame) => ({
        [name]: await runWait(frame, name, given(frame), pattern, options),
      }));
    },
    returns: (finish) => ({
      ...stepsOf<Input, Results>(nodes, taken),
      finish: (frame: SagaFrame) => finish(given(frame)),
    }),
  };
}

async function runBranches(
  branches: readonly (readonly SagaNode[])[],
  frame: SagaFrame,
): Promise<NamedResults> {
  const ends = await Promise.all(branches.map((nodes) => runNodes(nodes, frame)));
  // Not by assignment: a step may be named "__proto__".
  return ends.reduce<NamedResults>((all, { results }) => ({ ...all, ...results }), {});
}

function runWait<Input, Results>(
  { ctx, prefix }: SagaFrame,
  name: string,
  given: Given<Input, Results>,
  pattern: string,
  { where, timeoutMs }: SagaWaitOptions<Input, Results>,
): Promise<AgentEvent | undefined> {
  return ctx.waitFor(pattern, {
    name: `${prefix}${name}`,
    ...(where === undefined ? {} : { where: where(given) }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

function runStep<Input, Results, Result>(
  { ctx, prefix }: SagaFrame,
  name: string,
  given: Given<Input, Results>,
  run: (scope: SagaScope<Input, Results>) => Promise<Result> | Result,
  options: SagaStepOptions<Input, Results, Result>,
): Promise<Result> {
  const { undo, check, ...rest } = options;
  const { signal } = ctx;
  return ctx.step<Result>(`${prefix}${name}`, (key) => run({ ...given, key, signal }), {
    ...rest,
    ...(undo ? { undo: ({ key, result }) => undo({ ...given, key, result }) } : {}),
    ...(check ? { check: (key) => check({ ...given, key }) } : {}),
  });
}

function assertNew(names: readonly string[], taken: ReadonlySet<string>): void {
  const used = new Set(taken);
  for (const name of names) {
    if (name === "" || used.has(name)) {
      const message =
        name === ""
          ? "A step of a saga has no name. Give it one."
          : `The saga has a step "${name}" already. Its journal knows steps by name: ` +
            "give it another.";
      throw new CadreError("INVALID_OPTION", message, { option: "step", value: name });
    }
    used.add(name);
  }
}
