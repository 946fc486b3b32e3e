/**
 * Who may vote by which role, as the store knows it: people, who answer from code or from the
 * command line by name, and the agents that vote, whose roles are their capabilities. Every process
 * says at its start who its own are.
 */
import { CadreError } from "../../core/errors.ts";
import { checkOptions, someText } from "../../core/options.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { AnyAgent } from "../agent.ts";
import { ballotCapability } from "./ballots.ts";
import { debateCapability } from "./debate-tasks.ts";
import type { VoterKind } from "./proposal.ts";
import type { Proposing } from "./proposal-log.ts";

export interface Person {
  readonly name: string;
  readonly roles: readonly string[];
}

/** Somebody who may vote. */
export interface Elector extends Person {
  readonly kind: Exclude<VoterKind, "rule">;
}

const slotPrefix = "elector/";
const namePattern = /^[\p{L}\p{N}_.@-]{1,64}$/u;
const maxSlots = 500; // of one commit

/** @throws {CadreError} INVALID_OPTION */
export function assertVoterName(name: string): void {
  if (typeof name === "string" && namePattern.test(name)) return;
  const message = `"${name}" is no name of a voter. Give 1 to 64 letters, digits or _ . @ -`;
  throw new CadreError("INVALID_OPTION", message, { option: "as", value: name });
}

/** People, and those of the agents that can be asked. */
export function electorsOf(
  agents: readonly AnyAgent[],
  people: readonly Person[],
): readonly Elector[] {
  for (const person of people) checkPerson(person);
  const asked = agents.filter(({ name, capabilities }) =>
    [ballotCapability(name), debateCapability(name)].some((each) => capabilities.includes(each)),
  );
  return [
    ...asked.map(({ name, capabilities }): Elector => ({
      name,
      roles: capabilities,
      kind: "agent",
    })),
    ...people.map(({ name, roles }): Elector => ({ name, roles, kind: "person" })),
  ];
}

/** Says who may vote by which role; what was said before is forgotten. */
export async function enrol(store: EventStore, electors: readonly Elector[]): Promise<void> {
  const writes = [];
  for (const { name, roles, kind } of electors) {
    const value = JSON.stringify({ name, roles: [...new Set(roles)].sort(), kind });
    // Every process says it at its start: what is there already is not written again.
    if ((await store.slot(slotPrefix + name))?.value === value) continue;
    writes.push({ name: slotPrefix + name, expectedVersion: "any" as const, value });
  }
  for (let at = 0; at < writes.length; at += maxSlots) {
    await store.commit({ slots: writes.slice(at, at + maxSlots) });
  }
}

/** Says which roles a person has. @throws {CadreError} INVALID_OPTION */
export async function setPerson(store: EventStore, person: Person): Promise<void> {
  checkPerson(person);
  await enrol(store, [{ name: person.name, roles: person.roles, kind: "person" }]);
}

/** False when nobody has that name. */
export async function removePerson(store: EventStore, name: string): Promise<boolean> {
  const slot = await store.slot(slotPrefix + name);
  if (!slot || readElector(slot.value).kind !== "person") return false;
  const write = { name: slotPrefix + name, expectedVersion: "any", value: undefined } as const;
  await store.commit({ slots: [write] });
  return true;
}

export async function listPeople(store: EventStore): Promise<readonly Person[]> {
  const all = (await store.slots(slotPrefix)).map(({ value }) => readElector(value));
  return all
    .filter(({ kind }) => kind === "person")
    .map(({ name, roles }): Person => ({ name, roles }));
}

/** What is known of somebody; who is unknown is a person without roles. */
export async function knownVoter(
  { store, directory }: Pick<Proposing, "store" | "directory">,
  name: string,
): Promise<Elector> {
  const slot = await store.slot(slotPrefix + name);
  if (slot) return readElector(slot.value);
  const cards = directory?.find({ agent: name }) ?? [];
  const roles = [...new Set(cards.flatMap(({ card }) => card.capabilities))];
  return { name, roles, kind: cards.length > 0 ? "agent" : "person" };
}

/** Names of those who are known to have a role. */
export async function holdersOf(
  { store, directory }: Pick<Proposing, "store" | "directory">,
  role: string,
): Promise<readonly string[]> {
  const all = (await store.slots(slotPrefix)).map(({ value }) => readElector(value));
  const found = all.filter(({ roles }) => roles.includes(role)).map(({ name }) => name);
  const cards = directory?.find({ capability: role }) ?? [];
  return [...new Set([...found, ...cards.map(({ card }) => card.agent)])].sort();
}

function readElector(value: string): Elector {
  return JSON.parse(value) as Elector; // written by `enrol`
}

function checkPerson(person: Person): void {
  checkOptions("a person", person, {
    name: someText,
    roles: { expected: "a list of roles", accepts: Array.isArray },
  });
  assertVoterName(person.name);
}
