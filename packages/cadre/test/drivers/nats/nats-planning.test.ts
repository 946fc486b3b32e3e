import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compilePattern, isCadreError, isTopic } from "cadre";
import { nats } from "cadre/nats";
import { parseAddress } from "#src/drivers/nats/connect.ts";
import {
  eventSubject,
  groupToken,
  idToken,
  planSubject,
  takes,
} from "#src/drivers/nats/subjects.ts";
import { patternVectors } from "#src/testing/vectors/patterns.ts";

const seed = process.env["CADRE_SEED"] ? { seed: Number(process.env["CADRE_SEED"]) } : {};
const plan = (...patterns: string[]): string => planSubject("cadre", patterns);

test("a pattern becomes one subject", () => {
  assert.equal(eventSubject("cadre", "task.created"), "cadre.e.task.created._");
  assert.equal(plan("task.created"), "cadre.e.task.created._");
  assert.equal(plan("task.*"), "cadre.e.task.*._");
  assert.equal(plan("task.#"), "cadre.e.task.>");
  assert.equal(plan("task.#.done"), "cadre.e.task.>");
  assert.equal(plan("#"), "cadre.e.>");
  assert.equal(plan("#.error"), "cadre.e.>");
});

test("several patterns become the narrowest subject that takes them all", () => {
  assert.equal(plan("task.created", "task.created"), "cadre.e.task.created._");
  assert.equal(plan("task.created", "task.failed"), "cadre.e.task.*._");
  assert.equal(plan("task.created", "task.#"), "cadre.e.task.>");
  assert.equal(plan("task", "task.created"), "cadre.e.task.>");
  assert.equal(plan("task.created", "agent.online"), "cadre.e.*.*._");
  assert.equal(plan("task.created", "agent.tool.called"), "cadre.e.*.*.>");
  assert.equal(plan("task.#", "agent.#"), "cadre.e.*.>");
  assert.equal(plan("task.created", "error"), "cadre.e.*.>");
});

test("no subject takes less than its pattern, and none with # at its end takes more", () => {
  for (const { pattern, topic, matches } of patternVectors) {
    if (!isTopic(topic)) continue;
    const taken = takes(plan(pattern), eventSubject("cadre", topic));
    if (matches) assert.ok(taken, `${pattern} must take ${topic}`);
    const hash = pattern.indexOf("#");
    if (hash === -1 || hash === pattern.length - 1) {
      assert.equal(taken, matches, `${pattern} and ${topic}`);
    }
  }
});

test("the subject of several patterns takes whatever one of them matches", () => {
  const word = fc.constantFrom("a", "b", "c", "_", ">", "%3E", "e");
  const topic = fc.array(word, { minLength: 1, maxLength: 5 }).map((words) => words.join("."));
  const part = fc.oneof({ weight: 4, arbitrary: word }, fc.constantFrom("*", "#"));
  const pattern = fc
    .array(part, { minLength: 1, maxLength: 4 })
    .filter((words) => words.filter((each) => each === "#").length <= 3)
    .map((words) => words.join("."));
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), topic, (patterns, type) => {
      const isMatch = patterns.some((each) => compilePattern(each)(type));
      return !isMatch || takes(plan(...patterns), eventSubject("cadre", type));
    }),
    { numRuns: 2_000, ...seed },
  );
});

test("different topics have different subjects, also where a word is a wildcard of NATS", () => {
  const topics = ["a.>", "a.%3E", "a.%", "a", "a._", "_"];
  const subjects = topics.map((topic) => eventSubject("cadre", topic));
  assert.equal(new Set(subjects).size, topics.length);
  assert.ok(subjects.every((subject) => !subject.includes(">")));
});

test("names that no subject can hold become words, and different ones different words", () => {
  const names = ["plain", "with space", "with.dot", "with*", "with>", "grüße", "x".repeat(500), ""];
  for (const tokenOf of [groupToken, idToken]) {
    const tokens = names.map((name) => tokenOf(name));
    assert.equal(new Set(tokens).size, names.length);
    for (const token of tokens) assert.match(token, /^[\w-]{1,128}$/);
  }
});

test("an address gives servers and credentials, and shows no secret", () => {
  assert.deepEqual(parseAddress("nats://one,two:4333"), {
    shown: "nats://one:4222,nats://two:4333",
    options: { servers: ["one:4222", "two:4333"] },
  });
  assert.deepEqual(parseAddress("tls://user:p%40ss@host"), {
    shown: "tls://host:4222",
    options: { servers: ["host:4222"], user: "user", pass: "p@ss", tls: {} },
  });
  assert.deepEqual(parseAddress("nats://token@host:1").options, {
    servers: ["host:1"],
    token: "token",
  });
});

test("what is no address, and options that are unknown or impossible, are refused", () => {
  const refused = (call: () => unknown, option: string): void => {
    assert.throws(call, (error) => {
      assert.ok(isCadreError(error, "INVALID_OPTION"), String(error));
      assert.equal(error.details.option, option);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  };
  refused(() => nats("http://user:secret@host"), "connection");
  refused(() => nats("nats://"), "connection");
  refused(() => nats("nats://host", { prefix: "a.*" }), "prefix");
  refused(() => nats("nats://host", { stream: "a.b" }), "stream");
  refused(() => nats("nats://host", { maxAgeMs: 1_000 }), "dedupeMs");
  refused(() => nats("nats://host", { replicas: 0 }), "replicas");
  refused(() => nats("nats://host", { stram: "a" } as object), "stram");
});
