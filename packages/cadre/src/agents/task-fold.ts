/**
 * The fold of a task's stream into its state. Pure; every reader of a task, in any process, uses
 * this one.
 */
import type { AgentEvent, Priority } from "../core/event.ts";
import type { JsonValue } from "../core/json.ts";
import type { TaskState, TaskStatus, TaskUndoing } from "./task.ts";

/** Name of the stream of a task. */
export const taskStream = (id: string): string => `task/${id}`;
export const taskStreamPrefix = "task/";

/** The id of the task whose stream this is. */
export const taskIdOf = (stream: string): string => stream.slice(taskStreamPrefix.length);

/** Whether nothing can happen to the task any more. */
export function isFinal(status: TaskStatus): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

/** Whether an agent owns the task now. */
export function isOwned(status: TaskStatus): boolean {
  return status === "claimed" || status === "running";
}

/** Whether the task may be claimed, `notBefore` aside. */
export function isOpen(status: TaskStatus): boolean {
  return status === "offered" || status === "assigned" || status === "delayed";
}

/** Whether a cancellation or a deadline still ends it: it goes back already, or only forward. */
export function canStop(state: TaskState): boolean {
  return state.undoing === undefined && state.pivot === undefined;
}

/** Whether a person has to decide before it goes on. */
export function isParked(status: TaskStatus): boolean {
  return status === "in_doubt" || status === "stuck";
}

type Fields = Readonly<Record<string, JsonValue | undefined>>;
type Change = (state: TaskState, fields: Fields, event: AgentEvent) => TaskState;

const changes: Readonly<Record<string, Change>> = {
  "task.offered": (state, fields) => ({
    ...reoffer(state, fields),
    // A task that waits for others is no more ready for it than before.
    ...(state.status === "waiting" && fields["priority"] !== undefined
      ? { status: "waiting" }
      : {}),
    ...(fields["priority"] === undefined ? {} : { priority: text(fields["priority"]) as Priority }),
    ...(fields["deadlineAt"] === undefined ? {} : { deadlineAt: Number(fields["deadlineAt"]) }),
  }),
  "task.handed_off": (state, fields) => {
    const to = fields["to"];
    const next = { ...reoffer(state, fields), attempt: Math.max(0, state.attempt - 1), lost: 0 };
    return {
      ...tried(next, fields),
      capability: text(fields["capability"] ?? state.capability),
      handoffs: [...(state.handoffs ?? []), handoffOf(fields)],
      ...(to === undefined ? {} : { status: "assigned", assignedTo: text(to) }),
    };
  },
  "task.assigned": (state, fields) => ({
    ...state,
    status: "assigned",
    assignedTo: text(fields["agent"]),
  }),
  "task.claimed": (state, fields) => ({
    ...state,
    status: "claimed",
    epoch: Number(fields["epoch"]),
    attempt: Number(fields["attempt"]),
    owner: { agent: text(fields["agent"]), incarnation: text(fields["incarnation"]) },
  }),
  "task.started": (state) => ({ ...state, status: "running" }),
  "task.progress": (state, fields) => (fields["waiting"] === true ? gotOn(state) : state),
  "task.lease_expired": (state, fields) => {
    const next = { ...reoffer(state, fields), attempt: Math.max(0, state.attempt - 1) };
    if (fields["reason"] === "released") return next;
    return { ...tried(next, fields), lost: state.lost + 1 };
  },
  "task.retry": (state, fields) => ({
    ...tried(reoffer(state, fields), fields),
    status: "delayed",
    notBefore: Number(fields["notBefore"]),
  }),
  "task.cancel_requested": (state, fields) => ({
    ...state,
    cancelRequested: text(fields["reason"]),
  }),
  "task.completed": (state, fields) => ({
    ...withoutOwner(state),
    status: "completed",
    result: fields["result"] ?? null,
  }),
  "task.failed": (state, fields) => ({
    ...withoutOwner(state),
    status: "failed",
    error: errorOf(fields["error"]),
  }),
  "task.cancelled": (state, fields) => ({
    ...withoutOwner(state),
    status: "cancelled",
    cancelRequested: text(fields["reason"]),
  }),
  "step.intent": owed,
  "step.receipt": (state, fields, event) =>
    gotOn(fields["skipped"] === true ? settled(state, fields) : owed(state, fields, event)),
  "step.signal": gotOn,
  "step.failed": (state, fields) => (fields["refused"] === true ? settled(state, fields) : state),
  "step.undo_receipt": (state, fields) => gotOn(settled(state, fields)),
  "step.in_doubt": (state, fields) => parked(state, fields, "in_doubt"),
  "saga.undo_stuck": (state, fields) => parked(state, fields, "stuck"),
  "step.resolved": resolved,
  "saga.undo_started": undoStarted,
};

/** What has got on since it lost an owner is not what ended that one. */
function gotOn(state: TaskState): TaskState {
  return state.lost === 0 ? state : { ...state, lost: 0 };
}

/** A step has begun or is done: it may have to be undone, or nothing may be from here on. */
function owed(state: TaskState, fields: Fields, event: AgentEvent): TaskState {
  if (fields["undo"] === undefined && fields["pivot"] === undefined) return state;
  const step = text(fields["step"]);
  // The first one counts: what comes behind it takes nothing of it back.
  const { pivot = step, undoable = [] } = state;
  const next = fields["pivot"] === true ? { ...state, pivot } : state;
  if (fields["undo"] !== true) return next;
  // What is done later is undone sooner: a receipt comes last, an intent where it was.
  if (event.type === "step.intent" && undoable.includes(step)) return next;
  return { ...next, undoable: [...undoable.filter((name) => name !== step), step] };
}

/** Nothing is left to undo of this step. */
function settled(before: TaskState, fields: Fields): TaskState {
  const step = text(fields["step"]);
  const { pivot, ...withoutPivot } = before;
  const state = pivot === step ? withoutPivot : before;
  if (!state.undoable?.includes(step)) return state;
  const { undoable, ...rest } = state;
  const left = undoable.filter((name) => name !== step);
  return left.length === 0 ? rest : { ...rest, undoable: left };
}

/** Its owner lets go of it; to wait for a person uses no attempt up. */
function parked(state: TaskState, fields: Fields, status: "in_doubt" | "stuck"): TaskState {
  const phase = status === "stuck" || fields["phase"] === "undo" ? "undo" : "step";
  return {
    ...withoutOwner(state),
    status,
    epoch: Number(fields["nextEpoch"] ?? state.epoch),
    attempt: Math.max(0, state.attempt - 1),
    lost: 0,
    question: { step: text(fields["step"]), phase },
  };
}

/** A person's word: `retry` and `done` leave the step to be undone, the others do not. */
function resolved(state: TaskState, fields: Fields): TaskState {
  if (!isParked(state.status)) return state;
  const { question: _question, ...rest } = state;
  const offered: TaskState = { ...rest, status: "offered" };
  const action = text(fields["action"]);
  if (action === "retry" || (action === "done" && state.status === "in_doubt")) return offered;
  return settled(offered, fields);
}

function undoStarted(state: TaskState, fields: Fields): TaskState {
  const undoing: TaskUndoing = {
    outcome: fields["outcome"] === "cancelled" ? "cancelled" : "failed",
    reason: text(fields["reason"]),
    ...(fields["error"] === undefined ? {} : { error: errorOf(fields["error"]) }),
  };
  if (fields["nextEpoch"] === undefined) return { ...state, undoing };
  const { question, ...rest } = state;
  // It still asks whether there is something to undo.
  if (question && state.undoable?.includes(question.step)) return { ...state, undoing };
  // Over its owner's head, or without one: whoever takes it next goes backwards.
  return { ...reoffer(rest, fields), lost: 0, undoing };
}

/**
 * The state after one more event of the stream; `undefined` before `task.created`. Events of other
 * kinds change nothing.
 */
export function applyTask(state: TaskState | undefined, event: AgentEvent): TaskState | undefined {
  const fields = event.payload as Fields;
  if (event.type === "task.created") return state ?? created(fields, event);
  if (!state || isFinal(state.status)) return state;
  const type = event.type.startsWith("task.assigned.") ? "task.assigned" : event.type;
  const change = changes[type];
  return change ? change(state, fields, event) : state;
}

function created(fields: Fields, event: AgentEvent): TaskState {
  const dependsOn = (fields["dependsOn"] ?? []) as readonly string[];
  const optional = {
    feature: fields["feature"],
    parent: fields["parent"],
    deadlineAt: fields["deadlineAt"],
    tenant: fields["tenant"],
    budget: fields["budget"],
    depth: fields["depth"],
    key: event.metadata.key,
    isSaga: fields["saga"] === true ? true : undefined,
  };
  return {
    id: text(fields["taskId"]),
    name: text(fields["name"]),
    capability: text(fields["capability"]),
    version: text(fields["version"]),
    input: fields["input"] ?? null,
    status: dependsOn.length > 0 ? "waiting" : "offered",
    epoch: 1,
    attempt: 0,
    lost: 0,
    maxAttempts: Number(fields["maxAttempts"]),
    priority: (event.metadata.priority ?? "normal") satisfies Priority,
    triedBy: [],
    dependsOn,
    createdAt: event.timestamp,
    correlationId: event.metadata.correlationId,
    createdBy: event.source,
    ...(Object.fromEntries(
      Object.entries(optional).filter(([, value]) => value !== undefined),
    ) as Pick<
      TaskState,
      "feature" | "parent" | "deadlineAt" | "tenant" | "budget" | "depth" | "key" | "isSaga"
    >),
  };
}

function handoffOf(fields: Fields): NonNullable<TaskState["handoffs"]>[number] {
  const { agent, to, capability, note } = fields;
  return {
    from: text(agent),
    ...(to === undefined ? {} : { to: text(to) }),
    ...(capability === undefined ? {} : { capability: text(capability) }),
    ...(note === undefined ? {} : { note: text(note) }),
  };
}

function reoffer(state: TaskState, fields: Fields): TaskState {
  const { assignedTo: _assignedTo, notBefore: _notBefore, ...rest } = withoutOwner(state);
  return { ...rest, status: "offered", epoch: Number(fields["nextEpoch"] ?? state.epoch) };
}

function withoutOwner(state: TaskState): TaskState {
  const { owner: _owner, ...rest } = state;
  return rest;
}

function tried(state: TaskState, fields: Fields): TaskState {
  const agent = text(fields["agent"]);
  if (state.triedBy.includes(agent)) return state;
  return { ...state, triedBy: [...state.triedBy, agent] };
}

function errorOf(value: JsonValue | undefined): NonNullable<TaskState["error"]> {
  const fields = (value ?? {}) as Fields;
  const code = fields["code"];
  return {
    name: text(fields["name"] ?? "Error"),
    message: text(fields["message"] ?? ""),
    ...(code === undefined ? {} : { code: text(code) }),
  };
}

/** A field of a payload as text; what is absent, or no text, is empty. */
export function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
