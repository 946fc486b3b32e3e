/**
 * What is said in a debate, and when it counts. Every word is an append with the expected version,
 * so any number of conductors may run one debate: each opening, turn and verdict counts once.
 */
import type { AgentEvent } from "../../core/event.ts";
import { toFrozenJson, type JsonValue } from "../../core/json.ts";
import { teamEvent } from "../team-context.ts";
import { contentHash } from "./content-hash.ts";
import type { DebateOpening, DebateReply, DebateState, DebateTurn, Judgement } from "./debate.ts";
import {
  activeDebaters,
  debateConclusion,
  hasSpoken,
  heldPositions,
  stillToSpeak,
} from "./debate-outcome.ts";
import { assertVoterName } from "./people.ts";
import type { ProposalState } from "./proposal.ts";
import {
  after,
  changeProposal,
  concluded,
  type ProposalChange,
  type ProposalEntry,
  type Proposing,
} from "./proposal-log.ts";
import { isOfLineage } from "./voting.ts";
import { voteRefused } from "./vote-refused.ts";

const maxPosition = 500; // characters: a position is a name for a view, and not the view

/** The private stream that keeps an opening until all are revealed. */
const openingStream = (id: string, debater: string): string => `opening/${id}/${debater}`;

type DebateListener = (entry: ProposalEntry) => void;
type Decider = (
  entry: ProposalEntry,
  debate: DebateState,
) => ProposalChange | undefined | Promise<ProposalChange | undefined>;

export class DebateDesk {
  readonly #context: Proposing;
  readonly #onChange: DebateListener;

  constructor(context: Proposing, onChange: DebateListener = () => {}) {
    this.#context = context;
    this.#onChange = onChange;
  }

  /**
   * Seals an opening: nobody sees it before all are in, or the time is up.
   * @param inTime it was given in time, however late it is heard
   * @throws {CadreError} NOT_FOUND | VOTE_REFUSED | NOT_JSON
   */
  open(id: string, as: string, opening: DebateOpening, inTime = false): Promise<ProposalEntry> {
    assertVoterName(as);
    const kept = wordsOf(toFrozenJson(opening));
    return this.#change(id, as, async ({ state, last }, debate) => {
      const debater = debate.debaters.find(({ name }) => name === as);
      if (!debater) throw voteRefused(state, as, "not_a_voter");
      if (debater.commitment !== undefined) throw voteRefused(state, as, "twice");
      const isNow = debate.phase === "openings" && this.#isInTime(debate, inTime);
      if (!isNow || hasForfeited(debate, as, 0)) throw voteRefused(state, as, "not_now");
      assertPosition(state, debate, as, kept.position);
      const { random, clock } = this.#context;
      // Few positions are thinkable: without a salt, whoever tries them all knows the opening.
      const salt = random.id(clock.now()) + random.id(clock.now());
      const commitment = contentHash({ salt, opening: kept });
      const said = { proposalId: id, debater: as };
      const secret = this.#event(as, "debate.opening", { ...said, opening: kept, salt }, last);
      const sealed = this.#event(as, "debate.sealed", { ...said, commitment }, last);
      const stream = openingStream(id, as);
      const appends = [{ stream, expectedVersion: 0, events: [secret], private: true }];
      return { events: [sealed], appends };
    });
  }

  /**
   * Takes a turn: new evidence, or a concession.
   * @param inTime it was given in time, however late it is heard
   * @throws {CadreError} NOT_FOUND | VOTE_REFUSED | NOT_JSON
   */
  turn(id: string, as: string, reply: DebateReply, inTime = false): Promise<ProposalEntry> {
    assertVoterName(as);
    const { argument, evidence, concedes } = wordsOf(toFrozenJson(reply));
    return this.#change(id, as, ({ state, last }, debate) => {
      const debater = debate.debaters.find(({ name }) => name === as);
      if (!debater) throw voteRefused(state, as, "not_a_voter");
      const isNow = debate.phase === "rounds" && this.#isInTime(debate, inTime);
      if (!isNow || hasForfeited(debate, as, debate.round)) throw voteRefused(state, as, "not_now");
      if (debater.position === undefined) throw voteRefused(state, as, "not_now");
      if (debater.hasConceded || hasSpoken(debate, as)) throw voteRefused(state, as, "twice");
      if (concedes !== undefined) {
        const isAnothers = concedes !== debater.position && isTaken(debate, concedes);
        if (!isAnothers) throw voteRefused(state, as, "position");
      } else if (!bringsNews(debate, evidence)) {
        throw voteRefused(state, as, "no_evidence");
      }
      const payload = {
        proposalId: id,
        debater: as,
        round: debate.round,
        argument,
        evidence,
        position: concedes ?? debater.position,
        ...(concedes === undefined ? {} : { concedes }),
      };
      return { events: [this.#event(as, "debate.turned", payload, last)] };
    });
  }

  /**
   * A judge's verdict: one of the positions that are held in the end.
   * @throws {CadreError} NOT_FOUND | VOTE_REFUSED
   */
  judge(id: string, as: string, judgement: Judgement): Promise<ProposalEntry> {
    assertVoterName(as);
    const { position, reason } = wordsOf(toFrozenJson(judgement));
    return this.#change(id, as, async ({ state, last }, debate) => {
      if (!debate.judges.some(({ name }) => name === as)) {
        throw voteRefused(state, as, "not_a_voter");
      }
      if (debate.verdicts.some(({ judge }) => judge === as)) throw voteRefused(state, as, "twice");
      if (debate.phase !== "judging") throw voteRefused(state, as, "not_now");
      if (position === undefined || !heldPositions(debate).includes(position)) {
        throw voteRefused(state, as, "position");
      }
      const weight = state.weights[as] ?? 1;
      const said = { proposalId: id, judge: as, position, weight };
      const payload = { ...said, ...(reason === undefined ? {} : { reason }) };
      return { events: [this.#event(as, "debate.judged", payload, last)] };
    });
  }

  /** Lets the turn of a debater go by, once. */
  forfeit(id: string, debater: string, round: number, reason: string): Promise<ProposalEntry> {
    return this.#advance(id, ({ last }, debate) => {
      const current = debate.phase === "openings" ? 0 : debate.round;
      const known = debate.debaters.find(({ name }) => name === debater);
      const isOver =
        debate.phase === "judging" ||
        current !== round ||
        hasForfeited(debate, debater, round) ||
        (round === 0 ? known?.commitment !== undefined : hasSpoken(debate, debater));
      if (isOver) return undefined;
      return { events: [this.#forfeited(id, debater, round, reason, last)] };
    });
  }

  /** Reveals the openings, when all are in or the time is up. */
  reveal(id: string): Promise<ProposalEntry> {
    return this.#advance(id, async (entry, debate) => {
      if (debate.phase !== "openings") return undefined;
      const missing = stillToSpeak(debate);
      if (missing.length > 0 && this.#context.clock.now() < debate.dueAt) return undefined;
      const { last } = entry;
      const turns: DebateTurn[] = [];
      const events: AgentEvent[] = [];
      for (const { name, commitment } of debate.debaters) {
        if (commitment === undefined) continue;
        const turn = await this.#opened(id, name, commitment);
        if (turn) turns.push(turn);
        else events.push(this.#forfeited(id, name, 0, "it does not fit its commitment", last));
      }
      for (const { name } of missing) {
        events.push(this.#forfeited(id, name, 0, "no opening in time", last));
      }
      const name = this.#context.name;
      const revealed = { proposalId: id, openings: turns };
      events.unshift(this.#event(name, "debate.revealed", revealed, last));
      return this.#next(entry, events, 0, true);
    });
  }

  /**
   * Ends a round, when all have spoken or the time is up.
   * @param affords whether there is a budget for another one
   */
  endRound(id: string, round: number, affords: boolean): Promise<ProposalEntry> {
    return this.#advance(id, (entry, debate) => {
      if (debate.phase !== "rounds" || debate.round !== round) return undefined;
      const missing = stillToSpeak(debate);
      if (missing.length > 0 && this.#context.clock.now() < debate.dueAt) return undefined;
      const events = missing.map(({ name }) =>
        this.#forfeited(id, name, round, "no turn in time", entry.last),
      );
      return this.#next(entry, events, round, affords);
    });
  }

  /** Decides, when the judges have judged, there are none, or their time is up. */
  conclude(id: string): Promise<ProposalEntry> {
    return this.#advance(id, (entry, debate) => {
      if (debate.phase !== "judging") return undefined;
      const isLate = this.#context.clock.now() >= debate.dueAt;
      const conclusion = debateConclusion(entry.state, isLate);
      if (!conclusion) return undefined;
      return { events: [concluded(this.#context, entry, conclusion)] };
    });
  }

  /** What comes behind the openings or a round. */
  #next(
    entry: ProposalEntry,
    events: readonly AgentEvent[],
    round: number,
    affords: boolean,
  ): ProposalChange {
    const then = after(entry, events);
    const debate = then.state.debate!;
    const isOver =
      !affords ||
      round >= debate.rounds ||
      heldPositions(debate).length < 2 ||
      activeDebaters(debate).length === 0 ||
      debate.turns.length + activeDebaters(debate).length > (debate.maxTurns ?? Infinity);
    const { id, deadlineAt } = then.state;
    const dueAt = Math.min(deadlineAt, this.#context.clock.now() + debate.roundMs);
    const next = isOver ? "judging" : "round";
    const payload = { proposalId: id, round, next, dueAt };
    const ended = this.#event(this.#context.name, "debate.round_ended", payload, then.last);
    return { events: [...events, ended] };
  }

  async #opened(id: string, name: string, commitment: string): Promise<DebateTurn | undefined> {
    for await (const { event } of this.#context.store.read({ stream: openingStream(id, name) })) {
      const { opening, salt } = event.payload as {
        readonly opening: JsonValue;
        readonly salt: string;
      };
      if (contentHash({ salt, opening }) !== commitment) return undefined;
      const { position = "", argument, evidence } = wordsOf(opening);
      return { debater: name, round: 0, position, argument, evidence };
    }
    return undefined;
  }

  #forfeited(
    id: string,
    debater: string,
    round: number,
    reason: string,
    cause: AgentEvent,
  ): AgentEvent {
    const payload = { proposalId: id, debater, round, reason };
    return this.#event(this.#context.name, "debate.forfeited", payload, cause);
  }

  #event(
    source: string,
    type: string,
    payload: Readonly<Record<string, unknown>>,
    cause: AgentEvent,
  ): AgentEvent {
    return teamEvent(this.#context, source, type, payload, { cause });
  }

  #isInTime({ dueAt }: DebateState, inTime: boolean): boolean {
    return inTime || this.#context.clock.now() < dueAt;
  }

  /** A word of somebody who must be told why it does not count. */
  #change(id: string, as: string, decider: Decider): Promise<ProposalEntry> {
    return this.#write(id, async (entry) => {
      const { state } = entry;
      if (!state.debate) throw voteRefused(state, as, "not_debated");
      if (state.status !== "open") throw voteRefused(state, as, "not_now");
      if (await isOfLineage(this.#context, state, as)) throw voteRefused(state, as, "lineage");
      return decider(entry, state.debate);
    });
  }

  #advance(id: string, decider: Decider): Promise<ProposalEntry> {
    return this.#write(id, ({ state, version, last }) => {
      if (state.status !== "open" || !state.debate) return undefined;
      return decider({ state, version, last }, state.debate);
    });
  }

  async #write(
    id: string,
    decider: (entry: ProposalEntry) => ReturnType<Decider>,
  ): Promise<ProposalEntry> {
    const entry = await changeProposal(this.#context, id, decider);
    this.#onChange(entry);
    return entry;
  }
}

interface Words {
  readonly position?: string;
  readonly concedes?: string;
  readonly reason?: string;
  readonly argument: string;
  readonly evidence: readonly JsonValue[];
}

/**
 * What somebody says, of whatever shape: models and people write it, and what one of them gets
 * wrong must not end the debate of the others.
 */
function wordsOf(said: JsonValue): Words {
  const fields = (said ?? {}) as Readonly<Record<string, JsonValue | undefined>>;
  const { position, concedes, reason, argument, evidence } = fields;
  const one = evidence === undefined || evidence === null ? [] : [evidence];
  return {
    ...(typeof position === "string" ? { position } : {}),
    ...(concedes === undefined || concedes === null ? {} : { concedes: asText(concedes) }),
    ...(reason === undefined || reason === null ? {} : { reason: asText(reason) }),
    argument: argument === undefined || argument === null ? "" : asText(argument),
    evidence: Array.isArray(evidence) ? evidence : one,
  };
}

function asText(value: JsonValue): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function hasForfeited(debate: DebateState, name: string, round: number): boolean {
  return debate.forfeited.some((each) => each.debater === name && each.round === round);
}

function assertPosition(
  state: ProposalState,
  debate: DebateState,
  as: string,
  position: unknown,
): void {
  const isText = typeof position === "string" && position !== "" && position.length <= maxPosition;
  if (isText && (debate.positions?.includes(position) ?? true)) return;
  throw voteRefused(state, as, "position");
}

/** Whether a position can be conceded to: somebody holds it, or it was given. */
function isTaken(debate: DebateState, position: string): boolean {
  return heldPositions(debate).includes(position) || (debate.positions ?? []).includes(position);
}

/** Whether something is there that nobody has brought yet. */
function bringsNews({ turns }: DebateState, evidence: readonly JsonValue[]): boolean {
  const known = new Set(turns.flatMap((turn) => turn.evidence.map(contentHash)));
  return evidence.some((item) => !known.has(contentHash(item)));
}
