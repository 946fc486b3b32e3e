import assert from "node:assert/strict";
import { test } from "node:test";
import { type } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { Roster, type RosterMember } from "#src/agents/health/roster.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });

class Member implements RosterMember {
  readonly name: string;
  readonly definition: { readonly capabilities: readonly string[] };
  looks = 0;
  free = 1;

  constructor(name: string, ...capabilities: string[]) {
    this.name = name;
    this.definition = { capabilities };
  }

  get hasRoom(): boolean {
    this.looks += 1;
    return this.free > 0;
  }
}

function rosterOf(...members: Member[]): Roster<Member> {
  const roster = new Roster<Member>();
  for (const member of members) roster.add(member);
  return roster;
}

/** Gives so many tasks away; returns who has got them. */
function give(roster: Roster<Member>, capability: string, tasks: number): string[] {
  const takers: string[] = [];
  roster.visit(capability, (member) => {
    member.free -= 1;
    takers.push(member.name);
    return takers.length === tasks;
  });
  return takers;
}

test("agents that are full are not looked at again before they have room", () => {
  const members = Array.from({ length: 1_000 }, (_, index) => new Member(`a${index}`, "work"));
  const roster = rosterOf(...members);
  assert.equal(give(roster, "work", 1_000).length, 1_000);
  for (const member of members) member.looks = 0;
  assert.deepEqual(give(roster, "work", 1), []);
  members[700]!.free = 1;
  roster.hasRoom(members[700]!);
  assert.deepEqual(give(roster, "work", 5), ["a700"]);
  assert.equal(
    members.reduce((sum, { looks }) => sum + looks, 0),
    2,
  );
});

test("who has room goes on taking, and who got room last comes last", () => {
  const [one, two, three] = [
    new Member("one", "w"),
    new Member("two", "w"),
    new Member("three", "w"),
  ];
  const roster = rosterOf(one, two, three);
  one.free = 2;
  assert.deepEqual(give(roster, "w", 1), ["one"]);
  assert.deepEqual(give(roster, "w", 3), ["one", "two", "three"]);
  three.free = 1;
  roster.hasRoom(three);
  one.free = 1;
  roster.hasRoom(one);
  assert.deepEqual(give(roster, "w", 3), ["three", "one"]);
});

test("one that does not want a task is offered the next one all the same", () => {
  const [shy, eager] = [new Member("shy", "w"), new Member("eager", "w")];
  const roster = rosterOf(shy, eager);
  const offered: string[] = [];
  const offer = (member: Member): boolean => {
    offered.push(member.name);
    return member === eager;
  };
  roster.visit("w", offer);
  roster.visit("w", offer);
  assert.deepEqual(offered, ["shy", "eager", "shy", "eager"]);
});

test("an agent that is full by one capability is found again by each of its own", () => {
  const both = new Member("both", "read", "write");
  const roster = rosterOf(both, new Member("writer", "write"));
  assert.deepEqual(give(roster, "read", 1), ["both"]);
  assert.deepEqual(give(roster, "write", 1), ["writer"]);
  both.free = 1;
  roster.hasRoom(both);
  assert.deepEqual(give(roster, "write", 1), ["both"]);
  both.free = 1;
  roster.hasRoom(both);
  assert.deepEqual(give(roster, "read", 1), ["both"]);
});

test("what nobody does is offered to nobody", () => {
  const roster = rosterOf(new Member("one", "w"));
  assert.equal(roster.has("x"), false);
  assert.deepEqual([...roster.capabilities()], ["w"]);
  assert.deepEqual(give(roster, "x", 1), []);
});

test("agents that can do the same have one list of it in memory, which nobody can change", () => {
  const [one, two] = ["one", "two"].map((name) =>
    defineAgent({ name, capabilities: ["b", "a"] }).does(Work, (n) => n),
  );
  assert.deepEqual(one!.capabilities, ["a", "b", "work"]);
  assert.equal(one!.capabilities, two!.capabilities);
  assert.throws(() => (one!.capabilities as string[]).push("c"), TypeError);
});
