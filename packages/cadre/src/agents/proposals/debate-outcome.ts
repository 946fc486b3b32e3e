/** What a debate comes to. Pure. */
import type { DebaterState, DebateResult, DebateState, DebateTurn } from "./debate.ts";
import type { ProposalState } from "./proposal.ts";
import type { Conclusion } from "./proposal-tally.ts";

type DebateConclusion = Conclusion & {
  readonly position?: string;
  readonly dissent?: readonly DebateTurn[];
};

const epsilon = 1e-9;

/** Debaters who are still to speak: they have opened, and not conceded. */
export function activeDebaters({ debaters }: DebateState): readonly string[] {
  return debaters
    .filter(({ position, hasConceded }) => position !== undefined && !hasConceded)
    .map(({ name }) => name);
}

/** The positions that are held now, each once, in the order of the debaters. */
export function heldPositions({ debaters }: DebateState): readonly string[] {
  const held = debaters.flatMap(({ position }) => (position === undefined ? [] : [position]));
  return [...new Set(held)];
}

/** What was said before a round, by round, and in each in the order of the debaters. */
export function transcriptOf(
  { debaters, turns }: DebateState,
  before: number = Infinity,
): readonly DebateTurn[] {
  const order = new Map(debaters.map(({ name }, index) => [name, index]));
  const placeOf = ({ debater }: DebateTurn): number => order.get(debater) ?? 0;
  return turns
    .filter(({ round }) => round < before)
    .toSorted((left, right) => left.round - right.round || placeOf(left) - placeOf(right));
}

/** Whether the debater has had its turn of this round. */
export function hasSpoken({ turns, round }: DebateState, name: string): boolean {
  return turns.some((turn) => turn.debater === name && turn.round === round);
}

/** Debaters whose opening or turn of this round is waited for. */
export function stillToSpeak(debate: DebateState): readonly DebaterState[] {
  const { debaters, forfeited, phase, round } = debate;
  const active = activeDebaters(debate);
  return debaters.filter(({ name, commitment }) => {
    if (forfeited.some((each) => each.debater === name && each.round === round)) return false;
    if (phase === "openings") return commitment === undefined;
    return active.includes(name) && !hasSpoken(debate, name);
  });
}

/** The outcome, once there is one. @param isLate whether nobody is waited for any more */
export function debateConclusion(
  state: ProposalState,
  isLate: boolean,
): DebateConclusion | undefined {
  const { debate } = state;
  if (!debate) return undefined;
  const votes = votesOf(state, debate);
  const isDone =
    debate.judges.length === 0 || isLate || debate.verdicts.length >= debate.judges.length;
  const sums = sumsOf(votes);
  if (debate.votes) return isDone ? voted(state, debate, sums) : undefined;
  const total = [...sums.values()].reduce((all, weight) => all + weight, 0);
  const [best, second] = [...sums].sort(([, left], [, right]) => right - left);
  // Nobody can overtake it, so the rest is not waited for.
  const isSettled = best !== undefined && state.quorum > 0 && best[1] + epsilon >= state.quorum;
  const isOnly = isSettled && 2 * state.quorum > possible(state, debate);
  if (!isDone && !isOnly) return undefined;
  if (!best) return undecided("nobody took a position in time");
  const isTie = second !== undefined && Math.abs(best[1] - second[1]) < epsilon;
  const position = isTie ? tieBreak(debate, sums, best[1]) : best[0];
  if (position === undefined) return undecided(`a tie: ${show(sums)}`);
  const isEnough = state.quorum > 0 ? isSettled : isTie || best[1] > total / 2 + epsilon;
  if (!isEnough) return undecided(`no position has its quorum: ${show(sums)}`);
  const by = debate.judges.length > 0 ? "judges" : "debaters";
  const how = isTie ? `a tie, broken by rule: ${show(sums)}` : show(sums);
  return { status: "approved", by, reason: how, position, dissent: dissent(debate, position) };
}

/** Of a proposal whose voters have debated it. */
function voted(
  state: ProposalState,
  debate: DebateState,
  sums: ReadonlyMap<string, number>,
): DebateConclusion {
  const yes = sums.get("approve") ?? 0;
  const no = sums.get("reject") ?? 0;
  const reason = `after ${debate.round} rounds: ${show(sums)}`;
  if (yes + epsilon >= state.quorum) {
    return { status: "approved", by: "quorum", reason, dissent: dissent(debate, "approve") };
  }
  if (possible(state, debate) - no + epsilon < state.quorum) {
    return { status: "vetoed", by: "quorum", reason, dissent: dissent(debate, "reject") };
  }
  return { status: "expired", by: "deadline", reason, dissent: [] };
}

function undecided(reason: string): DebateConclusion {
  return { status: "expired", by: "debate", reason, dissent: [] };
}

interface Weighed {
  readonly position: string;
  readonly weight: number;
}

function votesOf({ weights }: ProposalState, debate: DebateState): readonly Weighed[] {
  if (debate.judges.length > 0) return debate.verdicts;
  return debate.debaters.flatMap(({ name, position }) =>
    position === undefined ? [] : [{ position, weight: weights[name] ?? 1 }],
  );
}

function sumsOf(votes: readonly Weighed[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { position, weight } of votes) sums.set(position, (sums.get(position) ?? 0) + weight);
  return sums;
}

/** The weight of all who decide. */
function possible({ weights }: ProposalState, debate: DebateState): number {
  const all = debate.judges.length > 0 ? debate.judges : debate.debaters;
  return all.reduce((sum, { name }) => sum + (weights[name] ?? 1), 0);
}

function tieBreak(
  debate: DebateState,
  sums: ReadonlyMap<string, number>,
  best: number,
): string | undefined {
  const tied = [...sums].filter(([, sum]) => Math.abs(sum - best) < epsilon).map(([name]) => name);
  const { tie } = debate;
  if (tie === "undecided") return undefined;
  if (tie !== "most-evidence") return tied.includes(tie.position) ? tie.position : undefined;
  const brought = (position: string): number =>
    debate.turns
      .filter((turn) => turn.position === position)
      .reduce((sum, { evidence }) => sum + evidence.length, 0);
  const most = Math.max(...tied.map(brought));
  const first = tied.filter((position) => brought(position) === most);
  return first.length === 1 ? first[0] : undefined;
}

/** The last words of those who were of another mind in the end. */
function dissent({ debaters, turns }: DebateState, position: string): readonly DebateTurn[] {
  return debaters.flatMap(({ name, position: held }) => {
    if (held === undefined || held === position) return [];
    const last = turns.findLast(({ debater }) => debater === name);
    return last ? [last] : [];
  });
}

function show(sums: ReadonlyMap<string, number>): string {
  const parts = [...sums].map(([position, sum]) => `${position} ${Number(sum.toFixed(3))}`);
  return parts.length === 0 ? "nobody" : parts.join(", ");
}

/** What came of a debate that has ended. */
export function debateResult(state: ProposalState): DebateResult {
  const { id, status, outcome, debate } = state;
  const position = outcome?.position;
  return {
    proposalId: id,
    decided: status === "approved",
    ...(position === undefined ? {} : { position }),
    reason: outcome?.reason ?? "",
    dissent: (outcome?.dissent ?? []) as unknown as readonly DebateTurn[], // of a debate: turns
    transcript: debate ? transcriptOf(debate) : [],
    verdicts: debate?.verdicts ?? [],
  };
}
