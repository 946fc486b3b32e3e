import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createGraph, entityKey, foldChunk, graphHash, topNamesByDecade } from "#src/graph.ts";
import type { CheckedChunk, Graph } from "#src/graph.ts";
import { askGraph } from "#src/graph-query.ts";
import { renderReply } from "#src/graph-text.ts";
import type { EntityKind } from "#src/mention.ts";

const seed = process.env["CADRE_SEED"] === undefined ? {} : { seed: +process.env["CADRE_SEED"] };

type Name = readonly [name: string, kind: EntityKind];

function chunk(
  year: number,
  start: number,
  ...sentences: readonly (readonly Name[])[]
): CheckedChunk {
  return {
    documentId: `${year}`,
    title: `Address, ${year}`,
    year,
    start,
    hash: `${year}-${start}`,
    disagreements: 1,
    sentences: sentences.map((names, index) => {
      const text = `${names.map(([name]) => name).join(" and ")} met.`;
      const mentions = names.map(([name, kind]) => {
        const from = index * 100 + text.indexOf(name);
        const span = { start: from, end: from + name.length };
        return { name, kind, ...span, confidence: 0.95, extractors: ["a@1", "b@1"] };
      });
      return { start: index * 100, text, mentions };
    }),
  };
}

const lincoln = ["Abraham Lincoln", "person"] as const;
const seward = ["Seward", "person"] as const;
const mexico = ["Mexico", "place"] as const;
const chunks = [
  chunk(1861, 0, [lincoln, seward], [mexico]),
  chunk(1861, 500, [lincoln, mexico]),
  chunk(1863, 0, [["MEXICO", "place"], seward]),
  chunk(1871, 0, [["Lincoln", "person"]], [["Lincoln", "place"]]),
];

function graphOf(list: readonly CheckedChunk[]): Graph {
  const graph = createGraph();
  for (const each of list) foldChunk(graph, each);
  return graph;
}

test("any order of chunks and any repetition gives one hash", () => {
  const expected = graphHash(graphOf(chunks));
  const shuffled = fc.array(fc.constantFrom(...chunks), { maxLength: 12 }).chain((extra) => {
    const all = [...chunks, ...extra];
    return fc.shuffledSubarray(all, { minLength: all.length });
  });
  fc.assert(
    fc.property(shuffled, (list) => {
      const graph = graphOf(list);
      assert.equal(graphHash(graph), expected);
      assert.equal(graph.disagreements, chunks.length);
    }),
    seed,
  );
});

test("a chunk that comes again changes nothing and says so", () => {
  const graph = createGraph();
  const [first] = chunks;
  assert.ok(first !== undefined);
  assert.equal(foldChunk(graph, first), true);
  assert.equal(foldChunk(graph, first), false);
  assert.equal(graph.entities.get(entityKey("Abraham Lincoln", "person"))?.mentions.length, 1);
});

test("the hash changes with a span, a kind, a document and an extractor's version", () => {
  const [first] = chunks;
  assert.ok(first !== undefined);
  const [sentence] = first.sentences;
  const [mention] = sentence?.mentions ?? [];
  assert.ok(sentence !== undefined && mention !== undefined);
  const changed = (change: Partial<typeof mention>): CheckedChunk => ({
    ...first,
    sentences: [{ ...sentence, mentions: [{ ...mention, ...change }] }],
  });
  const hashes = [
    changed({}),
    changed({ end: mention.end + 1 }),
    changed({ kind: "place" }),
    changed({ extractors: ["a@2", "b@1"] }),
    { ...changed({}), documentId: "other" },
  ].map((each) => graphHash(graphOf([each])));
  assert.equal(new Set(hashes).size, hashes.length);
  assert.equal(graphHash(graphOf([changed({ confidence: 0.1 })])), hashes[0]);
});

test("the names of a decade are sorted by how often they are said", () => {
  const decades = topNamesByDecade(graphOf(chunks), { perDecade: 2 });
  assert.deepEqual(
    decades.map(({ decade, names }) => [
      decade,
      names.map((each) => `${each.name} ${each.mentions}`),
    ]),
    [
      ["1860s", ["Mexico 3", "Abraham Lincoln 2"]],
      ["1870s", ["Lincoln 1", "Lincoln 1"]],
    ],
  );
});

test("a name that all decades say alike doesn't stand out in any", () => {
  const graph = graphOf([
    chunk(1861, 0, [mexico], [mexico], [seward]),
    chunk(1871, 0, [mexico], [mexico], [["Cuba", "place"]]),
  ]);
  const names = topNamesByDecade(graph, { perDecade: 1, rank: "distinct" });
  assert.deepEqual(
    names.map((each) => each.names[0]?.name),
    ["Seward", "Cuba"],
  );
});

test("a surname means the person most often said by it, and the answer is complete", () => {
  const reply = askGraph(graphOf(chunks), "lincoln");
  assert.ok(reply.found);
  const { answer } = reply;
  assert.equal(answer.name, "Abraham Lincoln");
  assert.deepEqual(answer.when, [{ year: 1861, mentions: 2 }]);
  assert.deepEqual(answer.where, [{ name: "Mexico", kind: "place", sentences: 1 }]);
  assert.deepEqual(answer.withWhom, [{ name: "Seward", kind: "person", sentences: 1 }]);
  assert.deepEqual(
    answer.said.map(({ document, start, end, sentence }) => [document, start, end, sentence]),
    [
      ["1861", 0, 15, "Abraham Lincoln and Seward met."],
      ["1861", 500, 515, "Abraham Lincoln and Mexico met."],
    ],
  );
  assert.deepEqual(
    answer.alternatives.map(({ kind }) => kind),
    ["place", "person"],
  );
});

test("spellings of one name are one entity, whatever their case", () => {
  const reply = askGraph(graphOf(chunks), "MEXICO");
  assert.equal(reply.found && reply.answer.mentions, 3);
  assert.equal(reply.found && reply.answer.name, "Mexico");
});

test("a name that nobody said gets the nearest ones, or none", () => {
  const graph = graphOf(chunks);
  assert.deepEqual(askGraph(graph, "Sewart"), {
    found: false,
    asked: "Sewart",
    nearest: ["Seward"],
  });
  assert.deepEqual(askGraph(graph, "Xylophonist"), {
    found: false,
    asked: "Xylophonist",
    nearest: [],
  });
  assert.equal(askGraph(graph, " .. ").found, false);
});

test("a rendered answer fits its columns and names document and span", () => {
  for (const columns of [40, 80]) {
    const lines = renderReply(askGraph(graphOf(chunks), "Abraham Lincoln"), columns);
    assert.ok(lines.every((line) => line.length <= columns));
    assert.ok(lines.join("\n").includes("[1861 500-515]"));
  }
  const missing = renderReply(askGraph(graphOf(chunks), "Sewart"), 80);
  assert.deepEqual(missing, ['The graph has no "Sewart".', "Nearest names: Seward."]);
});
