/** The fold of a debate's own events. Pure. */
import type { AgentEvent } from "../../core/event.ts";
import type { JsonValue } from "../../core/json.ts";
import { text } from "../task-fold.ts";
import type { DebaterState, DebateState, DebateTurn } from "./debate.ts";

type Fields = Readonly<Record<string, JsonValue | undefined>>;

/** The debate as the event that opens it has it. */
export function openedDebate(value: JsonValue | undefined): DebateState {
  return value as unknown as DebateState; // as it was written
}

export function applyDebate(debate: DebateState, event: AgentEvent): DebateState {
  const fields = event.payload as Fields;
  switch (event.type) {
    case "debate.sealed": {
      const commitment = text(fields["commitment"]);
      return withDebater(debate, text(fields["debater"]), { commitment });
    }
    case "debate.revealed":
      return (fields["openings"] as unknown as readonly DebateTurn[]).reduce(withTurn, debate);
    case "debate.turned":
      return withTurn(debate, turnOf(debate, fields));
    case "debate.forfeited":
      return forfeited(debate, text(fields["debater"]), Number(fields["round"]));
    case "debate.round_ended":
      return ended(debate, fields);
    case "debate.judged":
      return {
        ...debate,
        verdicts: [
          ...debate.verdicts,
          {
            judge: text(fields["judge"]),
            position: text(fields["position"]),
            weight: Number(fields["weight"] ?? 1),
            ...(fields["reason"] === undefined ? {} : { reason: text(fields["reason"]) }),
          },
        ],
      };
    default:
      return debate;
  }
}

function turnOf(debate: DebateState, fields: Fields): DebateTurn {
  const name = text(fields["debater"]);
  const concedes = text(fields["concedes"]);
  const held = debate.debaters.find((each) => each.name === name)?.position ?? "";
  return {
    debater: name,
    round: Number(fields["round"]),
    position: concedes || text(fields["position"]) || held,
    argument: text(fields["argument"]),
    evidence: (fields["evidence"] ?? []) as readonly JsonValue[],
    ...(concedes === "" ? {} : { concedes }),
  };
}

function withTurn(debate: DebateState, turn: DebateTurn): DebateState {
  const next = { ...debate, turns: [...debate.turns, turn] };
  const hasConceded = turn.concedes === undefined ? {} : { hasConceded: true };
  return withDebater(next, turn.debater, { position: turn.position, ...hasConceded });
}

function forfeited(debate: DebateState, debater: string, round: number): DebateState {
  const forfeits = (debate.debaters.find(({ name }) => name === debater)?.forfeits ?? 0) + 1;
  const next = { ...debate, forfeited: [...debate.forfeited, { debater, round }] };
  return withDebater(next, debater, { forfeits });
}

function ended(debate: DebateState, fields: Fields): DebateState {
  const dueAt = Number(fields["dueAt"] ?? debate.dueAt);
  if (fields["next"] === "judging") return { ...debate, phase: "judging", dueAt };
  return { ...debate, phase: "rounds", round: Number(fields["round"]) + 1, dueAt };
}

function withDebater(
  debate: DebateState,
  debater: string,
  change: Partial<DebaterState>,
): DebateState {
  const debaters = debate.debaters.map((each) =>
    each.name === debater ? { ...each, ...change } : each,
  );
  return { ...debate, debaters };
}
