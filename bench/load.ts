/** The events, types and patterns that all contenders are given. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Patterns of a large team: one or two an agent, and four that look at everything of a kind. */
export function teamPatterns(count: number): string[] {
  const list = ["task.#", "agent.*.query", "#.failed", "agent.#"];
  for (let agent = 0; list.length < count; agent += 1) {
    list.push(agent % 2 === 0 ? `task.assigned.a${agent}` : `agent.a${agent}.#`);
  }
  return list;
}

export interface Typed {
  readonly type: string;
  /** How many of `teamPatterns` match it. */
  readonly matches: number;
}

/** 512 types that come back, spread over the first `agents` agents. */
export function recurringTypes(agents: number): Typed[] {
  return Array.from({ length: 512 }, (_, index) => {
    const agent = Math.floor((index * (agents - 1)) / 511);
    return agent % 2 === 0
      ? { type: `task.assigned.a${agent}`, matches: 2 }
      : { type: `agent.a${agent}.query`, matches: 3 };
  }).map(flat);
}

let serial = 0;

/** Types that carry an id and never come back; `agents` is even. */
export function freshTypes(agents: number, count: number): Typed[] {
  return Array.from({ length: count }, (_, index) => {
    serial += 1;
    if (index % 2 === 0) return { type: `task.assigned.n${serial}`, matches: 1 };
    const agent = ((index * 7_919) % agents) | 1;
    return { type: `agent.a${agent}.run.r${serial}`, matches: 2 };
  }).map(flat);
}

/** A string that was put together is flattened when first read, which is nobody's work here. */
function flat(typed: Typed): Typed {
  return { ...typed, type: Buffer.from(typed.type).toString("latin1") };
}

export interface Report {
  readonly taskId: string;
  readonly title: string;
  readonly worker: string;
  readonly attempt: number;
  readonly tags: readonly string[];
}

/** With an envelope about 330 bytes of JSON. */
export function report(index: number): Report {
  return {
    taskId: `task-${index}`,
    title: "Read the address of 1862 and list who it names",
    worker: "reader-2",
    attempt: 1 + (index % 3),
    tags: ["extract", "1860s"],
  };
}

const scratch: string[] = [];

/** A folder on disk that is gone when the process ends. */
export function scratchFolder(): string {
  if (scratch.length === 0) process.once("exit", removeScratch);
  const folder = mkdtempSync(join(process.env["CADRE_BENCH_DIR"] ?? tmpdir(), "cadre-bench-"));
  scratch.push(folder);
  return folder;
}

function removeScratch(): void {
  for (const folder of scratch) rmSync(folder, { recursive: true, force: true });
}
