/** How a debate is opened: its options, checked and made into what its stream holds. */
import { CadreError } from "../../core/errors.ts";
import { toFrozenJson } from "../../core/json.ts";
import { anything, checkOptions, wholeNumber, type OptionRule } from "../../core/options.ts";
import { actionHash } from "./content-hash.ts";
import type { Debater, DebaterKind, DebateOptions, DebateState, Judge } from "./debate.ts";
import { lineageOf } from "./lineage.ts";
import { assertVoterName, holdersOf, knownVoter } from "./people.ts";
import type { Proposed, ProposeOptions } from "./proposal.ts";
import { assertProposalId, type Opening, type ProposalDesk } from "./proposal-desk.ts";
import { union } from "./proposal-fold.ts";
import { loadProposal, type ProposalEntry, type Proposing } from "./proposal-log.ts";
import { checkProposeOptions, electorateOf, quorumOf, weightsOf } from "./proposal-terms.ts";

/** Somebody who has a part in a debate. */
export interface Named {
  readonly name: string;
  readonly kind: DebaterKind;
}

const presetRounds = 2;
const maxSpeakers = 100;
const someSpeakers: OptionRule = {
  expected: `a list of at most ${maxSpeakers}`,
  accepts: (value) => Array.isArray(value) && value.length <= maxSpeakers,
};

export class DebateOpener {
  readonly #context: Proposing;
  readonly #proposals: ProposalDesk;

  constructor(context: Proposing, proposals: ProposalDesk) {
    this.#context = context;
    this.#proposals = proposals;
  }

  /** Opens a debate on a question, or finds it. @throws {CadreError} INVALID_OPTION */
  async open(
    asked: Proposed,
    options: DebateOptions,
    opening: Omit<Opening, "kind">,
  ): Promise<ProposalEntry> {
    checkDebateOptions(options);
    const known = await loadProposal(this.#context.store, opening.id);
    if (known) return known;
    const debaters = await Promise.all(options.debaters.map((each) => this.#named(each)));
    const judges = await Promise.all((options.judges ?? []).map((each) => this.#named(each)));
    return this.#open("debate.opened", asked, { ...options, named: { debaters, judges } }, opening);
  }

  /** Opens a proposal whose voters debate it before they decide, or finds it. */
  async openVote(
    proposed: Proposed,
    options: ProposeOptions & { readonly rounds: number },
    opening: Omit<Opening, "kind">,
  ): Promise<ProposalEntry> {
    const { rounds, ...rest } = options;
    checkProposeOptions("propose", rest);
    assertVotable(rest);
    const known = await loadProposal(this.#context.store, opening.id);
    if (known) return known;
    const { names, roles } = electorateOf(rest.voters);
    const holders = await Promise.all(roles.map((role) => holdersOf(this.#context, role)));
    const lineage = await this.#lineage(opening, rest.lineage);
    const voters = union(names, holders.flat()).filter((name) => !lineage.includes(name));
    const people = rest.voters.people ?? [];
    const debaters = await Promise.all(
      voters.map((name) => this.#named(people.includes(name) ? { person: name } : name)),
    );
    const { deadlineMs, quorum, weigh } = rest;
    const terms = {
      deadlineMs,
      rounds,
      positions: ["approve", "reject"],
      named: { debaters, judges: [] },
      votes: true,
      ...(quorum === undefined ? {} : { quorum }),
      ...(weigh === undefined ? {} : { weigh }),
    };
    return this.#open("action.proposed", proposed, terms, opening);
  }

  async #open(
    type: string,
    asked: Proposed,
    terms: Omit<DebateOptions, "debaters" | "judges"> & {
      readonly named: { readonly debaters: readonly Named[]; readonly judges: readonly Named[] };
      readonly votes?: boolean;
    },
    opening: Omit<Opening, "kind">,
  ): Promise<ProposalEntry> {
    assertProposalId(opening.id);
    const { debaters, judges } = terms.named;
    const lineage = await this.#lineage(opening, terms.lineage);
    assertParty(debaters, judges, lineage);
    const content = toFrozenJson(asked.content ?? null);
    const { rounds = presetRounds, deadlineMs, votes = false } = terms;
    const deciding = (judges.length > 0 ? judges : debaters).map(({ name }) => name);
    const electorate = { names: deciding, roles: [] };
    const weigh = terms.weigh ?? this.#context.weigh;
    const everybody = { names: [...deciding, ...debaters.map(({ name }) => name)], roles: [] };
    const weights = weigh ? await weightsOf(this.#context, weigh, everybody) : {};
    const given = terms.quorum ?? (votes ? "majority" : 0);
    const now = this.#context.clock.now();
    const roundMs = terms.roundMs ?? Math.max(1, Math.floor(deadlineMs / (rounds + 2)));
    const known = deciding.map((name) => weights[name] ?? 1);
    const payload = {
      proposalId: opening.id,
      ...(type === "debate.opened" ? { question: asked.action } : {}),
      action: asked.action,
      content,
      contentHash: actionHash(asked.action, content),
      author: opening.author,
      ...(opening.task ? { taskId: opening.task.id } : {}),
      lineage,
      voters: deciding,
      quorum: quorumOf(given, { electorate, weights: known, mode: "approve" }),
      weights,
      deadlineAt: now + deadlineMs,
      debate: openingState(terms, { rounds, roundMs, votes, dueAt: now + roundMs }),
    };
    const event = this.#proposals.openingEvent(type, payload, { ...opening, kind: "debate" });
    return this.#proposals.commitOpening(opening.id, [event]);
  }

  async #lineage(
    { author, task }: Omit<Opening, "kind">,
    more: readonly string[] = [],
  ): Promise<readonly string[]> {
    const found = task ? await lineageOf(this.#context.store, task.id, task.correlationId) : [];
    return union([author, ...found], more);
  }

  async #named(speaker: Debater | Judge): Promise<Named> {
    const name = nameOf(speaker);
    assertVoterName(name);
    if (typeof speaker !== "string") {
      return { name, kind: "person" in speaker ? "person" : "function" };
    }
    const { roles, kind } = await knownVoter(this.#context, name);
    // An agent that is not there yet may come: only who is known as a person is one.
    const isPerson = kind === "person" && roles.length > 0;
    return { name, kind: isPerson ? "person" : "agent" };
  }
}

/** The name of a speaker. */
export function nameOf(speaker: Debater | Judge): string {
  if (typeof speaker === "string") return speaker;
  return "person" in speaker ? speaker.person : speaker.name;
}

function openingState(
  terms: Pick<DebateOptions, "positions" | "tie" | "maxTurns"> & {
    readonly named: { readonly debaters: readonly Named[]; readonly judges: readonly Named[] };
  },
  times: Pick<DebateState, "rounds" | "roundMs" | "votes" | "dueAt">,
): DebateState {
  const { positions, tie = "undecided", maxTurns, named } = terms;
  return {
    ...times,
    phase: "openings",
    round: 0,
    ...(positions === undefined ? {} : { positions }),
    debaters: named.debaters.map((each) => ({ ...each, hasConceded: false, forfeits: 0 })),
    judges: named.judges,
    tie,
    ...(maxTurns === undefined ? {} : { maxTurns }),
    turns: [],
    forfeited: [],
    verdicts: [],
  };
}

function assertParty(
  debaters: readonly Named[],
  judges: readonly Named[],
  lineage: readonly string[],
): void {
  const all = [...debaters, ...judges].map(({ name }) => name);
  if (debaters.length < 2) throw refuse("debaters", "A debate needs at least two debaters.");
  const twice = all.find((name, index) => all.indexOf(name) !== index);
  if (twice !== undefined) {
    throw refuse("debaters", `"${twice}" has two parts in the debate. Give it one.`);
  }
  const own = all.find((name) => lineage.includes(name));
  if (own === undefined) return;
  const why = `"${own}" has worked on what is debated, and may have no part in it. Name another.`;
  throw refuse("debaters", why);
}

function assertVotable(options: ProposeOptions): void {
  const { voters, mode, escalate, vetoBy, minSeen, otherwise } = options;
  const other = { mode: mode === "veto", escalate, vetoBy, minSeen, otherwise };
  const set = Object.entries(other).find(([, value]) => value !== undefined && value !== false);
  if (set) throw refuse(set[0], `"${set[0]}" and "rounds" do not go together.`);
  if (!voters.validators?.length) return;
  throw refuse("voters", 'Validators and "rounds" do not go together. Validate it before.');
}

function refuse(option: string, message: string): CadreError {
  return new CadreError("INVALID_OPTION", message, { option });
}

function checkDebateOptions(options: DebateOptions): void {
  checkOptions("debate", options, {
    debaters: someSpeakers,
    judges: someSpeakers,
    positions: { expected: "a list of positions", accepts: Array.isArray },
    rounds: wholeNumber(0, 100),
    roundMs: wholeNumber(1),
    deadlineMs: wholeNumber(1),
    quorum: anything,
    tie: anything,
    maxTurns: wholeNumber(1),
    affords: anything,
    lineage: { expected: "a list of names", accepts: Array.isArray },
    weigh: anything,
  });
  if (options.deadlineMs !== undefined) return;
  throw refuse("deadlineMs", "A debate needs a deadline. Give deadlineMs.");
}
