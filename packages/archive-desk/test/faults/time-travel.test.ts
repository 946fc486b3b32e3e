/**
 * Time travel in the log of a real run: the graph, and a projection with snapshots, as of random
 * positions, beside a fold from the start.
 *
 * CADRE_DESK_DOCUMENTS sets the documents that are read (20 unless set), CADRE_DESK_DATA a folder
 * with a finished run, CADRE_SEED the positions.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import {
  defineProjection,
  differenceOf,
  foldProjection,
  SeededRandom,
  startProjection,
  systemClock,
  type LogPosition,
} from "cadre";
import { openSqlite } from "cadre/sqlite";
import { deskProjection } from "#src/desk-view.ts";
import { graphHash } from "#src/graph.ts";

const program = join(import.meta.dirname, "..", "demo-process.ts");
const looks = 100;
const seed = Number(process.env["CADRE_SEED"] ?? 1862);
const limit = Number(process.env["CADRE_DESK_DOCUMENTS"] ?? 20);

/** What the desk knows of each type of event and of each document, as plain JSON. */
interface Tally {
  readonly types: Readonly<Record<string, number>>;
  readonly sentences: Readonly<Record<string, number>>;
}

const tally = defineProjection<Tally>({
  name: "tally",
  initial: { types: {}, sentences: {} },
  apply: ({ types, sentences }, { type, payload }) => {
    const family = type.split(".").slice(0, 2).join(".");
    const counted = { ...types, [family]: (types[family] ?? 0) + 1 };
    if (type !== "desk.chunk.checked") return { types: counted, sentences };
    const chunk = payload as {
      readonly documentId: string;
      readonly sentences: readonly unknown[];
    };
    const before = sentences[chunk.documentId] ?? 0;
    const more = { ...sentences, [chunk.documentId]: before + chunk.sentences.length };
    return { types: counted, sentences: more };
  },
});

let made: string | undefined;
after(() => made && rm(made, { recursive: true, force: true }));

async function finishedRun(): Promise<string> {
  const given = process.env["CADRE_DESK_DATA"];
  if (given) return given;
  made = await mkdtemp(join(tmpdir(), "desk-travel-"));
  const flags = process.execArgv.filter((option) => !option.startsWith("--test"));
  const args = [...flags, program, "demo", JSON.stringify({ data: made, limit, json: true })];
  await promisify(execFile)(process.execPath, args);
  return made;
}

function percentiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): string => sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(1);
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms`;
}

async function timed<Result>(times: number[], run: () => Promise<Result>): Promise<Result> {
  const start = systemClock.monotonic();
  const result = await run();
  times.push(systemClock.monotonic() - start);
  return result;
}

test(`the desk's past is what a fold from the start says (seed ${seed})`, async (t) => {
  const log = await openSqlite(join(await finishedRun(), "desk.db"));
  const { store } = log;
  const head = await store.head();
  const random = new SeededRandom(seed);
  const positions = Array.from({ length: looks }, () => 1 + random.integer(head)).toSorted(
    (a, b) => a - b,
  );
  const running = await startProjection(store, tally, {
    snapshot: { everyEvents: 200, keep: 100 },
  });
  await running.caughtUp();
  await running.close();
  const times = { graph: [] as number[], plain: [] as number[], snapshots: [] as number[] };

  // One pass from the start, stopping at each position on its way.
  const graphs = new Map<LogPosition, string>();
  const tallies = new Map<LogPosition, Tally>();
  let next = 0;
  let view = initialOf(deskProjection);
  let counted = initialOf(tally);
  const note = (upTo: LogPosition): void => {
    for (; next < looks && positions[next]! <= upTo; next += 1) {
      graphs.set(positions[next]!, graphHash(view.graph));
      tallies.set(positions[next]!, counted);
    }
  };
  for await (const stored of store.read()) {
    note(stored.position - 1);
    view = deskProjection.apply(view, stored.event, stored);
    counted = tally.apply(counted, stored.event, stored);
  }
  note(head);

  for (const upTo of positions) {
    const graph = await timed(times.graph, () => foldProjection(store, deskProjection, { upTo }));
    assert.equal(graphHash(graph.state.graph), graphs.get(upTo), `graph as of ${upTo}`);
    const options = { upTo, fromStart: true };
    const plain = await timed(times.plain, () => foldProjection(store, tally, options));
    const near = await timed(times.snapshots, () => foldProjection(store, tally, { upTo }));
    assert.deepEqual(plain.state, tallies.get(upTo));
    assert.deepEqual(near.state, tallies.get(upTo));
  }
  const [first, last] = [tallies.get(positions[0]!)!, tallies.get(positions.at(-1)!)!];
  assert.notDeepEqual(differenceOf(first, last), []);
  t.diagnostic(`${head} events, ${looks} positions`);
  t.diagnostic(`the graph, from the start: ${percentiles(times.graph)}`);
  t.diagnostic(`a tally, from the start: ${percentiles(times.plain)}`);
  t.diagnostic(`a tally, by snapshots: ${percentiles(times.snapshots)}`);
  await log.close();
});

function initialOf<State>({ initial }: { readonly initial: State | (() => State) }): State {
  return typeof initial === "function" ? (initial as () => State)() : initial;
}
