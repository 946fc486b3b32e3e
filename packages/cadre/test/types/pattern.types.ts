import type { MatchPattern } from "#src/core/pattern.ts";
import type { Equal } from "./equal.ts";

function same<A, B>(equal: Equal<A, B>): void {
  void equal;
}

type Types =
  | "task.created"
  | "task.failed"
  | "task.assigned.reader"
  | "agent.online"
  | "agent.reader.query"
  | "error"
  | "agent.error";

same<MatchPattern<"task.created", Types>, "task.created">(true);
same<MatchPattern<"task.*", Types>, "task.created" | "task.failed">(true);
same<MatchPattern<"task.#", Types>, "task.created" | "task.failed" | "task.assigned.reader">(true);
same<MatchPattern<"*", Types>, "error">(true);
same<MatchPattern<"#", Types>, Types>(true);
same<MatchPattern<"#.error", Types>, "error" | "agent.error">(true);
same<MatchPattern<"*.#.query", Types>, "agent.reader.query">(true);
same<MatchPattern<"*.*.*", Types>, "task.assigned.reader" | "agent.reader.query">(true);
same<MatchPattern<"task.#" | "error", Types>, "error" | MatchPattern<"task.#", Types>>(true);
same<MatchPattern<"task.create", Types>, never>(true);
same<MatchPattern<"tasks.*", Types>, never>(true);
same<MatchPattern<"task", Types>, never>(true);

// A pattern known only at run time may match anything; an open registry knows no types.
same<MatchPattern<string, Types>, Types>(true);
same<MatchPattern<"task.*", string>, string>(true);
same<MatchPattern<`agent.${string}.query`, Types>, "agent.reader.query">(true);

// Keys of a registry may be patterns themselves.
type Keys = "task.assigned.*" | "task.created" | "agent.#";
same<MatchPattern<"task.assigned.reader", Keys>, "task.assigned.*">(true);
same<MatchPattern<"task.*.reader", Keys>, "task.assigned.*">(true);
same<MatchPattern<"agent.a.b", Keys>, "agent.#">(true);
same<MatchPattern<"agent", Keys>, "agent.#">(true);
same<MatchPattern<"*.created", Keys>, "task.created" | "agent.#">(true);

// A registry of 1,000 types.
type Digit = "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9";
type Many = `domain${Digit}.action${Digit}.state${Digit}`;
same<MatchPattern<"domain1.#.state2", Many>, `domain1.action${Digit}.state2`>(true);
same<MatchPattern<"#.action1.#", Many>, `domain${Digit}.action1.state${Digit}`>(true);
same<MatchPattern<"#.domain1.#.state2.#", Many>, `domain1.action${Digit}.state2`>(true);

// @ts-expect-error: `task.*` is one word more, so the three words of an assignment do not match.
const assignment: MatchPattern<"task.*", Types> = "task.assigned.reader";
// @ts-expect-error: a pattern that matches no type of a closed registry leaves nothing.
const nothing: MatchPattern<"feature.#", Types> = "task.created";
void [assignment, nothing];
