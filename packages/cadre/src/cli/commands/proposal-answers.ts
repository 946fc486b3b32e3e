/** `cadre proposals approve | reject | veto | seen | amend | withdraw | speak | reply | judge` */
import type { Command } from "commander";

import { DebateDesk } from "../../agents/proposals/debate-desk.ts";
import type { ProposalState, Verdict } from "../../agents/proposals/proposal.ts";
import { ProposalDesk } from "../../agents/proposals/proposal-desk.ts";
import { loadProposal, type Proposing } from "../../agents/proposals/proposal-log.ts";
import { secureRandom } from "../../core/random.ts";
import type { EventStore } from "../../store/event-store.ts";
import { parseJson } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { homeFlags, printing } from "./home-flags.ts";
import { fullProposalId } from "./proposal-id.ts";

interface AnswerFlags extends HomeFlags {
  readonly as: string;
  readonly hash?: string;
  readonly reason?: string;
  readonly json?: boolean;
  readonly position?: string;
  readonly argument?: string;
  readonly evidence?: readonly string[];
  readonly concede?: string;
}

const verdicts: Readonly<Record<string, { readonly verdict: Verdict; readonly what: string }>> = {
  approve: { verdict: "approve", what: "vote for it" },
  reject: { verdict: "reject", what: "vote against it" },
  veto: { verdict: "veto", what: "stop it, where you have the right to" },
  abstain: { verdict: "abstain", what: "say that you have no opinion" },
  seen: { verdict: "seen", what: "say that you were shown it" },
};

export function addProposalAnswers(proposals: Command, context: CommandContext): void {
  for (const [name, { verdict, what }] of Object.entries(verdicts)) {
    const answer = answering(proposals, name, what)
      .option("--hash <hash>", "the hash of what you were shown: refused when it was edited since")
      .option("--reason <text>", "why");
    printing(homeFlags(answer), [`cadre proposals ${name} r1.deploy --as ana --reason "why"`]);
    answer.action((id: string, flags: AnswerFlags) => voteOn(context, id, verdict, flags));
  }
  const amend = answering(proposals, "amend", "edit it: earlier votes count no more")
    .argument("<json>", "the whole content; - reads it from standard input")
    .option("--reason <text>", "why");
  printing(homeFlags(amend), [`cadre proposals amend r1.deploy '{"version":"2.1"}' --as ben`]);
  amend.action((id: string, json: string, flags: AnswerFlags) =>
    amendOne(context, id, json, flags),
  );
  const withdraw = answering(proposals, "withdraw", "end it, as its author");
  withdraw.option("--reason <text>", "why");
  printing(homeFlags(withdraw), ["cadre proposals withdraw p1 --as ana"]);
  withdraw.action((id: string, flags: AnswerFlags) => withdrawOne(context, id, flags));
  addDebate(proposals, context);
}

function addDebate(proposals: Command, context: CommandContext): void {
  const speak = answering(proposals, "speak", "open in a debate: sealed until all have")
    .requiredOption("--position <position>", "what you hold")
    .option("--argument <text>", "why")
    .option("--evidence <text...>", "what supports it");
  printing(homeFlags(speak), ['cadre proposals speak q.topic --as ana --position "tea"']);
  speak.action((part: string, flags: AnswerFlags) =>
    debateOn(context, part, flags, (desk, id) =>
      desk.open(id, flags.as, { position: flags.position ?? "", ...saidBy(flags) }),
    ),
  );
  const reply = answering(proposals, "reply", "take your turn in a debate")
    .option("--argument <text>", "why")
    .option("--evidence <text...>", "what nobody has brought yet")
    .option("--concede <position>", "the position that you take over");
  printing(homeFlags(reply), ["cadre proposals reply q.topic --as ana --evidence https://…"]);
  reply.action((part: string, flags: AnswerFlags) =>
    debateOn(context, part, flags, (desk, id) => {
      const concedes = flags.concede === undefined ? {} : { concedes: flags.concede };
      return desk.turn(id, flags.as, { ...saidBy(flags), ...concedes });
    }),
  );
  const judge = answering(proposals, "judge", "judge a debate")
    .requiredOption("--position <position>", "the position that convinced you")
    .option("--reason <text>", "why");
  printing(homeFlags(judge), ["cadre proposals judge q.topic --as ana --position tea"]);
  judge.action((part: string, flags: AnswerFlags) =>
    debateOn(context, part, flags, (desk, id) => {
      const reason = flags.reason === undefined ? {} : { reason: flags.reason };
      return desk.judge(id, flags.as, { position: flags.position ?? "", ...reason });
    }),
  );
}

function answering(proposals: Command, name: string, what: string): Command {
  return proposals
    .command(name)
    .summary(what)
    .description(`Answers a proposal: ${what}.`)
    .argument("<id>", "its id, or as much of its beginning or end as is unique")
    .requiredOption("--as <name>", "who you are");
}

function saidBy({ argument, evidence }: AnswerFlags): {
  readonly argument?: string;
  readonly evidence?: readonly string[];
} {
  return {
    ...(argument === undefined ? {} : { argument }),
    ...(evidence === undefined ? {} : { evidence }),
  };
}

async function voteOn(
  context: CommandContext,
  part: string,
  verdict: Verdict,
  flags: AnswerFlags,
): Promise<void> {
  await withStore(context, flags, async (store) => {
    const id = await fullProposalId(store, part);
    const { as, reason } = flags;
    // Without a hash it is about what is proposed at this moment, which nobody may have looked at.
    const hash = flags.hash ?? (await loadProposal(store, id))?.state.contentHash ?? "";
    const desk = new ProposalDesk(acting(context, store));
    const answer = await desk.vote(id, {
      as,
      verdict,
      hash,
      ...(reason === undefined ? {} : { reason }),
    });
    const late = answer.counted === "late" ? " It came too late, and is on record as that." : "";
    await say(context, flags, answer.state, `${verdict} by ${as}.${late}`);
  });
}

async function amendOne(
  context: CommandContext,
  part: string,
  json: string,
  flags: AnswerFlags,
): Promise<void> {
  const content = parseJson("<json>", json);
  await withStore(context, flags, async (store) => {
    const id = await fullProposalId(store, part);
    const desk = new ProposalDesk(acting(context, store));
    const { as, reason } = flags;
    const state = await desk.amend(id, content, {
      as,
      ...(reason === undefined ? {} : { reason }),
    });
    await say(context, flags, state, `revision ${state.revision}, ${state.contentHash}.`);
  });
}

async function withdrawOne(
  context: CommandContext,
  part: string,
  flags: AnswerFlags,
): Promise<void> {
  await withStore(context, flags, async (store) => {
    const id = await fullProposalId(store, part);
    const desk = new ProposalDesk(acting(context, store));
    const { as, reason } = flags;
    const done = await desk.withdraw(id, { as, ...(reason === undefined ? {} : { reason }) });
    const state = (await desk.get(id))!;
    await say(context, flags, state, done ? "withdrawn." : "it had ended already.");
  });
}

async function debateOn(
  context: CommandContext,
  part: string,
  flags: AnswerFlags,
  speak: (desk: DebateDesk, id: string) => Promise<{ readonly state: ProposalState }>,
): Promise<void> {
  await withStore(context, flags, async (store) => {
    const id = await fullProposalId(store, part);
    const { state } = await speak(new DebateDesk(acting(context, store)), id);
    await say(context, flags, state, `${flags.as} was heard.`);
  });
}

async function say(
  { output }: CommandContext,
  { json }: AnswerFlags,
  state: ProposalState,
  text: string,
): Promise<void> {
  if (json) return output.json(state);
  const { id, status, outcome } = state;
  const ended = outcome === undefined ? "It is open." : `It is ${status}: ${outcome.reason}.`;
  await output.text(`${id}: ${text} ${ended}`);
}

function acting({ clock }: CommandContext, store: EventStore): Proposing {
  return { store, clock, random: secureRandom, name: "cli" };
}
