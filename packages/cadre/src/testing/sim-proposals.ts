/**
 * What must hold of proposals: one outcome each, by votes that count once and are not of those who
 * have worked on it; none open for ever; no opening of a debate revealed before its time.
 *
 * Read from the records alone and not with the runtime's own fold, which may have the same mistake.
 */
import type { AgentEvent } from "../core/event.ts";
import type { Violation } from "./sim-options.ts";

interface Vote {
  readonly voter: string;
  readonly verdict: string;
  readonly weight: number;
  readonly isRule: boolean;
}

interface Story {
  readonly terms: Readonly<Record<string, unknown>>;
  readonly author: string;
  readonly lineage: Set<string>;
  readonly rules: readonly string[];
  hash: string;
  quorum: number;
  deadlineAt: number;
  level: number;
  votes: Map<string, Vote>;
  readonly ballots: Map<string, number>;
  readonly debaters: Set<string>;
  readonly sealed: Set<string>;
  readonly spoken: Set<string>;
  openingsDueAt: number;
  outcomes: string[];
  readonly wrong: string[];
}

type Fields = Readonly<Record<string, unknown>>;

const opens = new Set(["action.proposed", "validation.requested", "debate.opened"]);
const ends = new Set(["action.approved", "action.vetoed", "action.expired", "action.withdrawn"]);
const votes = new Set(["action.voted", "validation.responded"]);
const approvals = new Set(["approve", "valid"]);
const refusals = new Set(["reject", "veto", "invalid"]);
const prefix = "proposal/";
const graceMs = 120_000; // a team that is down, and one that restarts, sees a deadline so late
const epsilon = 1e-6;

export class ProposalReading {
  readonly #stories = new Map<string, Story>();
  /** Agents that claimed a task, by task, with the parents of tasks. */
  readonly #workers = new Map<string, Set<string>>();
  readonly #parents = new Map<string, string>();
  #endAt = 0;

  add(stream: string, event: AgentEvent): void {
    this.#endAt = Math.max(this.#endAt, event.timestamp);
    const fields = event.payload as Fields;
    if (event.type === "task.created" && typeof fields["parent"] === "string") {
      this.#parents.set(String(fields["taskId"]), fields["parent"]);
    }
    if (event.type === "task.claimed") {
      const task = String(fields["taskId"]);
      const known = this.#workers.get(task) ?? new Set();
      this.#workers.set(task, known.add(String(fields["agent"])));
    }
    if (!stream.startsWith(prefix)) return;
    const story = this.#stories.get(stream);
    if (!story) return void this.#stories.set(stream, openedStory(fields, event));
    this.#note(story, event, fields);
  }

  judge(): readonly Violation[] {
    const found: Violation[] = [];
    for (const [stream, story] of this.#stories) {
      const say = (message: string): void =>
        void found.push({ invariant: "proposals", message: `${stream}: ${message}`, stream });
      for (const message of story.wrong) say(message);
      const { outcomes, deadlineAt, ballots } = story;
      if (outcomes.length > 1) say(`it has ${outcomes.length} outcomes: ${outcomes.join(", ")}`);
      if (outcomes.length === 0 && deadlineAt + graceMs < this.#endAt) {
        say("it is open after its deadline");
      }
      for (const [ballot, times] of ballots) {
        if (times > 1) say(`ballot ${ballot} was counted ${times} times`);
      }
    }
    return found;
  }

  #note(story: Story, event: AgentEvent, fields: Fields): void {
    const { type } = event;
    if (opens.has(type)) story.wrong.push("it was opened twice");
    else if (ends.has(type)) this.#ended(story, type, fields);
    else if (votes.has(type)) this.#voted(story, fields);
    else if (type === "action.amended") {
      story.hash = String(fields["contentHash"]);
      story.votes = new Map();
      story.lineage.add(String(fields["by"]));
    } else if (type === "action.escalated") {
      story.level += 1;
      if (fields["level"] !== story.level)
        story.wrong.push(`level ${String(fields["level"])} came twice`);
      story.quorum = Number(fields["quorum"]);
      story.deadlineAt = Number(fields["deadlineAt"]);
    } else noteDebate(story, event, fields);
  }

  #voted(story: Story, fields: Fields): void {
    const voter = String(fields["voter"] ?? fields["validator"]);
    const isRule = fields["kind"] === "rule";
    const { ballot } = fields;
    if (typeof ballot === "string") story.ballots.set(ballot, (story.ballots.get(ballot) ?? 0) + 1);
    const isLate = fields["late"] === true;
    if (isLate !== story.outcomes.length > 0) {
      story.wrong.push(`the vote of ${voter} is ${isLate ? "" : "not "}called late`);
    }
    if (isLate || fields["contentHash"] !== story.hash) return;
    if (!isRule && this.#isOfLineage(story, voter)) {
      story.wrong.push(`the vote of ${voter} counted, who has worked on it`);
    }
    const verdict = String(fields["verdict"]);
    story.votes.set(voter, { voter, verdict, weight: Number(fields["weight"] ?? 1), isRule });
  }

  /** An outcome must follow from the votes, or from the time. */
  #ended(story: Story, type: string, fields: Fields): void {
    story.outcomes.push(type);
    if (story.debaters.size > 0 || story.outcomes.length > 1) return;
    const counted = [...story.votes.values()];
    const people = counted.filter(({ isRule }) => !isRule);
    const sum = (words: ReadonlySet<string>): number =>
      people.reduce((all, vote) => all + (words.has(vote.verdict) ? vote.weight : 0), 0);
    const isByTime = fields["voter"] === "deadline";
    if (type === "action.approved") {
      const passed = (rule: string): boolean =>
        counted.some((vote) => vote.isRule && vote.voter === rule && approvals.has(vote.verdict));
      if (!story.rules.every(passed)) story.wrong.push("it was approved without its rules");
      const isDefault = story.terms["mode"] === "veto" || story.terms["otherwise"] === "approve";
      const isEnough = sum(approvals) + epsilon >= story.quorum;
      if (isByTime ? !isDefault : !isEnough) story.wrong.push("it was approved without a quorum");
    }
    if (type === "action.vetoed" && !isByTime) {
      const refused = counted.some(({ verdict }) => refusals.has(verdict));
      if (!refused) story.wrong.push("it was vetoed, and nobody was against it");
    }
  }

  #isOfLineage({ lineage, terms }: Story, voter: string): boolean {
    if (lineage.has(voter)) return true;
    const task = terms["taskId"];
    if (typeof task !== "string") return false;
    for (let id: string | undefined = task; id !== undefined; id = this.#parents.get(id)) {
      if (this.#workers.get(id)?.has(voter)) return true;
    }
    return false;
  }
}

function openedStory(fields: Fields, event: AgentEvent): Story {
  const debate = fields["debate"] as
    | { readonly debaters: readonly { readonly name: string }[]; readonly dueAt: number }
    | undefined;
  const author = String(fields["author"]);
  const lineage = new Set((fields["lineage"] ?? []) as readonly string[]);
  const story: Story = {
    terms: fields,
    author,
    lineage,
    rules: (fields["rules"] ?? []) as readonly string[],
    hash: String(fields["contentHash"]),
    quorum: Number(fields["quorum"]),
    deadlineAt: Number(fields["deadlineAt"]),
    level: 0,
    votes: new Map(),
    ballots: new Map(),
    debaters: new Set((debate?.debaters ?? []).map(({ name }) => name)),
    sealed: new Set(),
    spoken: new Set(),
    openingsDueAt: debate?.dueAt ?? 0,
    outcomes: [],
    wrong: [],
  };
  if (!opens.has(event.type)) story.wrong.push(`it begins with ${event.type}`);
  if (!lineage.has(author)) story.wrong.push("its author may vote");
  return story;
}

function noteDebate(story: Story, event: AgentEvent, fields: Fields): void {
  const debater = String(fields["debater"]);
  if (event.type === "debate.sealed") {
    if (story.sealed.has(debater)) story.wrong.push(`${debater} has opened twice`);
    if (story.spoken.has("revealed")) story.wrong.push(`${debater} opened after the others`);
    story.sealed.add(debater);
  } else if (event.type === "debate.forfeited" && fields["round"] === 0) {
    story.sealed.add(debater);
  } else if (event.type === "debate.revealed") {
    const isAll = [...story.debaters].every((name) => story.sealed.has(name));
    // The clocks of processes differ.
    const isDue = event.timestamp + graceMs >= story.openingsDueAt;
    if (!isAll && !isDue) story.wrong.push("openings were revealed before their time");
    if (story.spoken.has("revealed")) story.wrong.push("openings were revealed twice");
    story.spoken.add("revealed");
  } else if (event.type === "debate.turned") {
    const turn = `${debater}/${String(fields["round"])}`;
    if (story.spoken.has(turn)) story.wrong.push(`${debater} had two turns in one round`);
    story.spoken.add(turn);
    const isEmpty = !(fields["evidence"] as readonly unknown[] | undefined)?.length;
    if (isEmpty && fields["concedes"] === undefined) {
      story.wrong.push(`${debater} has neither evidence nor conceded`);
    }
  } else if (event.type === "debate.judged") {
    const judge = `judge ${String(fields["judge"])}`;
    if (story.spoken.has(judge)) story.wrong.push(`${judge} has judged twice`);
    story.spoken.add(judge);
  }
}
