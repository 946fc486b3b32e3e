/** The flags that choose events of the past, for `history` and `replay`. */
import type { Command } from "commander";

import type { ReadQuery } from "../../bus/transport.ts";
import type { CompiledFilter } from "../../core/filter.ts";
import { assertPattern } from "../../core/pattern.ts";
import { parseFilter, wholeFrom } from "../arguments.ts";
import { parseInstant } from "../time-text.ts";

export interface EventFlags {
  readonly type?: string;
  readonly source?: string;
  readonly correlation?: string;
  readonly id?: string;
  readonly since?: string;
  readonly until?: string;
  readonly filter?: string;
  readonly limit?: number;
}

export interface EventChoice {
  readonly query: ReadQuery;
  readonly filter?: CompiledFilter;
  readonly limit: number;
}

export function eventFlags(command: Command): Command {
  return command
    .option("--type <pattern>", 'events whose type matches: "task.*"')
    .option("--source <name>", "events of one publisher")
    .option("--correlation <id>", "events of one flow")
    .option("--id <id>", "the event of this id")
    .option("--since <time>", "from then on: 10m, 2h, 2026-11-21T08:00")
    .option("--until <time>", "before then")
    .option("--filter <json>", `a content filter: '{"payload.priority":"high"}'`)
    .option("--limit <number>", "at most so many", wholeFrom(1));
}

/** @throws {CadreError} INVALID_OPTION | INVALID_PATTERN | INVALID_FILTER */
export function eventChoice(flags: EventFlags, now: number): EventChoice {
  const { type, source, correlation, id, since, until, limit } = flags;
  if (type !== undefined) assertPattern(type);
  const filter = flags.filter === undefined ? undefined : parseFilter(flags.filter).compiled;
  return {
    query: {
      ...(type === undefined ? {} : { type }),
      ...(source === undefined ? {} : { source }),
      ...(correlation === undefined ? {} : { correlationId: correlation }),
      ...(id === undefined ? {} : { id }),
      ...(since === undefined ? {} : { since: parseInstant("--since", since, now) }),
      ...(until === undefined ? {} : { until: parseInstant("--until", until, now) }),
      // A filter leaves some out, so the number is counted behind it.
      ...(limit === undefined || filter ? {} : { limit }),
    },
    ...(filter ? { filter } : {}),
    limit: limit ?? Infinity,
  };
}
