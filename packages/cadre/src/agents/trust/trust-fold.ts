/** The fold of the log into scores. `trust-state.ts` says what counts. */
import type { AgentEvent } from "../../core/event.ts";
import { defineProjection, type Projection } from "../../store/projection.ts";
import { featureStreamPrefix, planningName } from "../feature-fold.ts";
import { proposalPrefix } from "../proposals/proposal.ts";
import { taskStreamPrefix } from "../task-fold.ts";
import { meanOf } from "./beta.ts";
import { keepNewest, put, remove, sizeOf } from "./table-size.ts";
import {
  betaAt,
  decayed,
  defaultTerms,
  emptyTable,
  emptyTrust,
  keyOf,
  nameOf,
  scoreKey,
  type KnownTask,
  type ScoreRecord,
  type TrustState,
  type TrustTerms,
} from "./trust-state.ts";

/** The stream of what trust says, and that of violations: nobody else writes to them. */
export const trustStream = "trust";
export const violationStream = "violations";

const projectionName = "cadre-trust";

// How much each thing that was seen says. A verdict of somebody else is the measure of 1.
const weights = { completed: 0.2, late: 0.5, retried: 0.5, failed: 1, lost: 0.5, judged: 1 };

interface Verdict {
  readonly agent: string;
  readonly capability: string;
  readonly good: boolean;
  readonly weight: number;
  /** Who says so; nobody where it is what the task itself shows. */
  readonly judge?: string;
  readonly reason: string;
}

type Payload = Readonly<Record<string, unknown>>;

/**
 * Trust as a projection: of a running team, or with `foldProjection` as of any point in the past.
 */
export function trustProjection(given: Partial<TrustTerms> = {}): Projection<TrustState> {
  const terms = { ...defaultTerms, ...given };
  return defineProjection<TrustState>({
    name: projectionName,
    version: 2,
    inPlace: true,
    initial: emptyTrust,
    patterns: [
      "task.*",
      "feature.*",
      "validation.*",
      "action.*",
      "violation.detected",
      "score.updated",
    ],
    apply: (state, event, { stream = "" }) => {
      // Only what the runtime wrote to its own streams: an event of the bus is anybody's word.
      const payload = event.payload as Payload;
      if (stream.startsWith(taskStreamPrefix)) foldTask(state, event, payload, terms);
      else if (stream.startsWith(proposalPrefix)) foldProposal(state, event, payload, terms);
      else if (stream.startsWith(featureStreamPrefix)) foldFeature(state, event, payload, stream);
      else if (stream === violationStream) foldViolation(state, payload);
      else if (stream === trustStream) remove(state.untold, event.id);
      return state;
    },
  });
}

function foldTask(state: TrustState, event: AgentEvent, payload: Payload, terms: TrustTerms): void {
  const id = keyOf(payload["taskId"]);
  if (event.type === "task.created") return learnTask(state, id, payload);
  const task = state.tasks[id];
  if (!task) return;
  if (event.type === "task.claimed") {
    task.owner = payload["agent"] as string;
    if (!task.agents.includes(task.owner)) task.agents.push(task.owner);
    const givers = task.plans === undefined ? [] : (state.features[task.plans] ??= []);
    if (!givers.includes(task.owner)) givers.push(task.owner);
    return;
  }
  const seen = seenInTask(event, payload, task);
  // Who gives himself work, by whatever way, proves nothing by doing it.
  if (seen && task.owner !== undefined && !task.above.includes(task.owner)) {
    const { capability, owner: agent } = task;
    judge(state, event, { agent, capability, ...seen }, terms);
  }
  if (finals.has(event.type)) delete state.tasks[id];
  else if (event.type === "task.lease_expired" || event.type === "task.retry") delete task.owner;
}

const finals: ReadonlySet<string> = new Set(["task.completed", "task.failed", "task.cancelled"]);

function learnTask(state: TrustState, id: string, payload: Payload): void {
  const capability = payload["capability"] as string;
  // To be asked for one's word is no work that could be done well or badly.
  if (/^(ballot|debate)\./.test(capability)) return;
  const { parent, feature, deadlineAt } = payload;
  const featureId = keyOf(feature);
  const givers = feature === undefined ? [] : (state.features[featureId] ?? []);
  const isPlanning = String(payload["taskId"]).startsWith(`${String(feature)}.${planningName}`);
  state.tasks[id] = {
    capability,
    above: [...new Set([...workersOf(state, parent), ...givers])],
    agents: [],
    ...(feature !== undefined && isPlanning ? { plans: featureId } : {}),
    ...(deadlineAt === undefined ? {} : { deadlineAt: deadlineAt as number }),
  };
}

/** The agents at work on a task and on all above it. */
function workersOf({ tasks }: TrustState, task: unknown): readonly string[] {
  const known = task === undefined ? undefined : tasks[keyOf(task)];
  return known ? [...known.above, ...known.agents] : [];
}

function foldFeature(state: TrustState, event: AgentEvent, payload: Payload, stream: string): void {
  const id = keyOf(stream.slice(featureStreamPrefix.length));
  if (event.type === "feature.completed" || event.type === "feature.cancelled") {
    delete state.features[id];
  } else if (event.type === "feature.created") {
    const givers = workersOf(state, payload["parent"]);
    if (givers.length > 0) state.features[id] = [...givers];
  }
}

function seenInTask(
  { type, timestamp }: AgentEvent,
  payload: Payload,
  { deadlineAt = Infinity }: KnownTask,
): Pick<Verdict, "good" | "weight" | "reason"> | undefined {
  switch (type) {
    case "task.completed": {
      const isLate = timestamp > deadlineAt;
      const weight = isLate ? weights.late : weights.completed;
      return { good: !isLate, weight, reason: isLate ? "completed too late" : "completed in time" };
    }
    case "task.retry":
      return { good: false, weight: weights.retried, reason: "an attempt failed" };
    case "task.failed":
      return { good: false, weight: weights.failed, reason: "failed" };
    case "task.lease_expired":
      if (payload["reason"] === "released") return undefined;
      return { good: false, weight: weights.lost, reason: "its lease ran out" };
    default:
      return undefined;
  }
}

function foldProposal(
  state: TrustState,
  event: AgentEvent,
  payload: Payload,
  terms: TrustTerms,
): void {
  const id = keyOf(payload["proposalId"] ?? payload["validationId"]);
  switch (event.type) {
    case "action.proposed":
    case "validation.requested": {
      const task = state.tasks[keyOf(payload["taskId"])];
      // What nobody did as work has no capability that it could speak for.
      if (!task) return;
      state.proposals[id] = {
        author: task.owner ?? (payload["author"] as string),
        capability: task.capability,
        lineage: (payload["lineage"] as readonly string[] | undefined) ?? [],
        votes: emptyTable(),
      };
      return;
    }
    case "action.voted":
    case "validation.responded":
      return foldVote(state, id, payload);
    case "action.amended": {
      const proposal = state.proposals[id];
      if (proposal) proposal.votes = emptyTable();
      return;
    }
    case "action.approved":
    case "action.vetoed":
      return foldDecision(state, id, event, terms);
    case "action.expired":
    case "action.withdrawn":
      delete state.proposals[id];
  }
}

function foldVote(state: TrustState, id: string, payload: Payload): void {
  const proposal = state.proposals[id];
  if (!proposal || payload["late"] === true) return;
  const voter = keyOf(payload["voter"] ?? payload["validator"]);
  const verdict = payload["verdict"] as string;
  const isYes = verdict === "approve" || verdict === "valid";
  const isNo = verdict === "reject" || verdict === "veto" || verdict === "invalid";
  // The last word of each voter counts.
  delete proposal.votes[voter];
  if (isYes || isNo) {
    proposal.votes[voter] = { good: isYes, kind: (payload["kind"] as string) ?? "agent" };
  }
}

function foldDecision(state: TrustState, id: string, event: AgentEvent, terms: TrustTerms): void {
  const proposal = state.proposals[id];
  if (!proposal) return;
  const { author, capability, lineage, votes } = proposal;
  for (const [key, { good, kind }] of Object.entries(votes)) {
    const voter = nameOf(key);
    const isOwn = voter === author || lineage.includes(voter);
    if (isOwn && kind !== "rule") continue;
    const said = good ? "found it good" : "found it wrong";
    const reason = `${kind} ${voter} ${said}`;
    const weight = weights.judged;
    judge(state, event, { agent: author, capability, good, weight, judge: voter, reason }, terms);
  }
  delete state.proposals[id];
}

const maxNames = 10_000; // names on forged events are what a forger likes to write

function foldViolation({ violations }: TrustState, payload: Payload): void {
  const named = keyOf(payload["agent"]);
  const isKnown = Object.hasOwn(violations, named);
  const key = isKnown || sizeOf(violations) < maxNames ? named : keyOf("*");
  if (!Object.hasOwn(violations, key)) put(violations, key, emptyTable());
  const counts = violations[key]!;
  const rule = keyOf(payload["rule"]);
  const { more } = (payload["evidence"] ?? {}) as { readonly more?: unknown };
  counts[rule] = (counts[rule] ?? 0) + 1 + (typeof more === "number" ? more : 0);
}

/** Adds a verdict to a score. A judge who has said much already adds less, or nothing. */
function judge(state: TrustState, event: AgentEvent, verdict: Verdict, terms: TrustTerms): void {
  const { agent, capability } = verdict;
  const key = scoreKey(agent, capability);
  const at = event.timestamp;
  if (!Object.hasOwn(state.scores, key)) {
    put(state.scores, key, newRecord(agent, capability, at));
    if (sizeOf(state.scores) % sweepEvery === 0) forgetFaded(state.scores, at, terms);
  }
  const record = (state.scores[key] ??= newRecord(agent, capability, at));
  fade(record, at, terms);
  const previous = meanOf(betaAt(record, record.at, terms));
  const weight = weightOf(record, verdict, terms);
  record.verdicts += 1;
  if (weight === 0) return;
  if (verdict.good) record.good += weight;
  else record.bad += weight;
  const beta = betaAt(record, record.at, terms);
  const { id: causeId, metadata } = event;
  const { correlationId } = metadata;
  const { reason } = verdict;
  put(state.untold, `score/${causeId}/${key}/${verdict.judge ?? "work"}`, {
    ...{ agent, capability, score: meanOf(beta), previous, ...beta, reason },
    ...{ causeId, correlationId, at },
  });
  if (sizeOf(state.untold) > maxUntold) keepNewest(state.untold, maxUntold / 2);
}

const maxUntold = 20_000; // of a log in which nobody tells

/** What a verdict adds. What the work itself shows has no judge to be bounded. */
function weightOf(
  record: ScoreRecord,
  { judge: name, weight }: Verdict,
  terms: TrustTerms,
): number {
  if (name === undefined) return weight;
  const said = record.judges[keyOf(name)] ?? 0;
  const added = Math.max(0, Math.min(weight, terms.maxPerJudge - said));
  if (added > 0) record.judges[keyOf(name)] = said + added;
  return added;
}

function newRecord(agent: string, capability: string, at: number): ScoreRecord {
  return { agent, capability, good: 0, bad: 0, at, verdicts: 0, judges: emptyTable() };
}

const negligible = 1e-3; // of a verdict: who has no more than that, judge or judged, is forgotten
const sweepEvery = 2_048; // scores from one look for those that are forgotten to the next

/** Who is so long gone that nothing is left of him is a newcomer again. */
function forgetFaded(scores: TrustState["scores"], at: number, terms: TrustTerms): void {
  for (const [key, record] of Object.entries(scores)) {
    const left = decayed(record.good + record.bad, at - record.at, terms);
    if (left < negligible && at > record.at) remove(scores, key);
  }
}

/**
 * Brings a score to an instant. One that lies a little before its last verdict changes nothing, for
 * clocks differ; after one that lies far ahead the clock that it came from was wrong.
 */
function fade(record: ScoreRecord, at: number, terms: TrustTerms): void {
  const ms = at - record.at;
  if (ms < -terms.halfLifeMs) record.at = at;
  if (ms <= 0) return;
  record.good = decayed(record.good, ms, terms);
  record.bad = decayed(record.bad, ms, terms);
  for (const [name, said] of Object.entries(record.judges)) {
    const left = decayed(said, ms, terms);
    if (left < negligible) delete record.judges[name];
    else record.judges[name] = left;
  }
  record.at = at;
}
