import assert from "node:assert/strict";
import type { Bus } from "../../bus/bus.ts";
import { createBus } from "../../bus/create-bus.ts";
import type { DeadLetter, DeadLetterBox, Transport } from "../../bus/transport.ts";
import { defineEvents } from "../../core/define-events.ts";
import { TerminalError } from "../../core/errors.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsOrder } from "../undeclared.ts";

const quick = { minDelayMs: 1, maxDelayMs: 2, jitter: 0 };

async function letterOf(context: CheckContext, bus: Bus, id: string): Promise<DeadLetter> {
  let letter: DeadLetter | undefined;
  const what = `dead letter ${id}`;
  await context.until(async () => (letter = await bus.deadLetters.get(id)) !== undefined, { what });
  return letter!;
}

async function retriesEndInOneLetter(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("dead"), context.group()];
  let attempts = 0;
  await bus.subscribe(type, { group, retry: { ...quick, maxAttempts: 4 } }, () => {
    attempts += 1;
    throw new RangeError("out of range");
  });
  const event = await bus.publish(type, { a: 1 });
  const letter = await letterOf(context, bus, `${group}/${event.id}`);
  await context.quiet(20);
  assert.equal(attempts, 4);
  assert.equal(letter.reason, "attempts");
  assert.equal(letter.attempts, 4);
  assert.equal(letter.error.name, "RangeError");
  assert.match(letter.error.stack ?? "", /out of range/);
  assert.deepEqual(letter.event, event);
  assert.notEqual(letter.position, "");
  assert.ok(letter.firstFailedAt <= letter.lastFailedAt);
  let letters = 0;
  for await (const each of bus.deadLetters.list({ group })) letters += each.group === group ? 1 : 0;
  assert.equal(letters, 1);
}

async function policyDecides(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("policy"), context.group()];
  const retryIf = (error: unknown): boolean => (error as Error).message !== "hopeless";
  const retry = { ...quick, maxAttempts: 3, retryIf };
  await bus.subscribe(type, { group, retry }, (event) => {
    const { how } = event.payload as { how: string };
    throw how === "terminal" ? new TerminalError("never") : new Error(how);
  });
  const found: Record<string, unknown> = {};
  for (const how of ["terminal", "hopeless", "hopeful"]) {
    const event = await bus.publish(type, { how });
    const { reason, attempts } = await letterOf(context, bus, `${group}/${event.id}`);
    found[how] = [reason, attempts];
  }
  const expected = { terminal: ["terminal", 1], hopeless: ["rejected", 1] };
  assert.deepEqual(found, { ...expected, hopeful: ["attempts", 3] });
}

async function invalidIsNotHandled(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("versioned"), context.group()];
  const schema = { type: "object" };
  const events = defineEvents({ [type]: { schema, version: "2.0.0" } });
  const bus = await context.createBus({ events });
  let calls = 0;
  await bus.subscribe(type, { group }, () => void (calls += 1));
  const transport = await context.createTransport();
  const stranger = context.event(type, {}, { version: "9.0.0" });
  await context.publish(transport, [stranger]);
  const letter = await letterOf(context, bus, `${group}/${stranger.id}`);
  assert.equal(letter.reason, "invalid");
  assert.equal(letter.error.code, "UNKNOWN_VERSION");
  assert.equal(calls, 0);
}

/** A box that refuses a few times. */
function stubborn(box: DeadLetterBox, refusals: number): DeadLetterBox {
  let left = refusals;
  return {
    put: (letter) =>
      left-- > 0 ? Promise.reject(new Error("the box is jammed")) : box.put(letter),
    get: (id) => box.get(id),
    list: (query) => box.list(query),
    remove: (id) => box.remove(id),
  };
}

function withBox(transport: Transport, deadLetters: DeadLetterBox): Transport {
  const tap = transport.tap?.bind(transport);
  return {
    name: transport.name,
    capabilities: transport.capabilities,
    publish: (batch) => transport.publish(batch),
    open: (spec) => transport.open(spec),
    ...(tap === undefined ? {} : { tap }),
    deadLetters,
    close: () => transport.close(),
  };
}

async function unwrittenIsNotAcked(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const box = transport.deadLetters;
  if (!box) return; // then the bus keeps them in memory, which refuses nothing
  const bus = createBus({ transport: withBox(transport, stubborn(box, 1)), clock: context.clock });
  context.defer(() => bus.close());
  const [type, group] = [context.topic("jammed"), context.group()];
  const errors: string[] = [];
  let calls = 0;
  bus.onError(({ severity, message }) => void errors.push(`${severity} ${message}`));
  await bus.subscribe(type, { group }, () => {
    calls += 1;
    throw new TerminalError("never");
  });
  const event = await bus.publish(type, {});
  await context.until(() => errors.some((error) => /^error .*could not be written/.test(error)));
  await context.until(
    async () => (await bus.deadLetters.get(`${group}/${event.id}`)) !== undefined,
    {
      withinMs: 15_000,
    },
  );
  assert.equal(calls, 1, "the handler is not asked again for a letter that is only to be written");
  assert.equal((await bus.deadLetters.get(`${group}/${event.id}`))?.reason, "terminal");
}

async function wildcardsMakeLetters(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [group, type] = [context.group(), context.topic("wild", "one")];
  await bus.subscribe(context.topic("wild", "#"), { group }, () => {
    throw new TerminalError("no");
  });
  const event = await bus.publish(type, {});
  const letter = await letterOf(context, bus, `${group}/${event.id}`);
  assert.equal(letter.event?.type, type);
}

async function redriveGoesToItsGroup(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, bad, good] = [context.topic("redriven"), context.group("bad"), context.group()];
  const seen: string[] = [];
  let broken = true;
  await bus.subscribe(
    type,
    { group: bad, retry: { ...quick, maxAttempts: 2 } },
    (event, { attempt }) => {
      seen.push(`bad ${attempt} ${event.id}`);
      if (broken) throw new Error("broken");
    },
  );
  await bus.subscribe(type, { group: good }, (event) => void seen.push(`good ${event.id}`));
  const { id } = await bus.publish(type, {});
  await letterOf(context, bus, `${bad}/${id}`);
  broken = false;
  assert.equal(await bus.deadLetters.redrive(`${bad}/${id}`), true);
  assert.equal(await bus.deadLetters.redrive(`${bad}/${id}`), false, "the letter is gone");
  await context.until(() => seen.length >= 4);
  await context.quiet(20);
  const expected = [`bad 1 ${id}`, `bad 1 ${id}`, `bad 2 ${id}`, `good ${id}`];
  assert.deepEqual(seen.toSorted(), expected);
  assert.equal(await bus.deadLetters.get(`${bad}/${id}`), undefined);
}

async function editedIsAnotherEvent(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("edited"), context.group()];
  const done: { payload: unknown; cause: string | undefined; replayOf: string | undefined }[] = [];
  await bus.subscribe(type, { group }, ({ payload, metadata }) => {
    if (!(payload as { ok: boolean }).ok) throw new TerminalError("not ok");
    done.push({ payload, cause: metadata.causationId, replayOf: metadata.replayOf });
  });
  const { id } = await bus.publish(type, { ok: false });
  await letterOf(context, bus, `${group}/${id}`);
  await bus.deadLetters.redrive(`${group}/${id}`, { payload: { ok: true } });
  await context.until(() => done.length === 1);
  assert.deepEqual(done, [{ payload: { ok: true }, cause: id, replayOf: id }]);
}

async function parkedKeysWait(
  context: CheckContext,
  resolve: (bus: Bus, id: string) => Promise<boolean>,
): Promise<{ seen: number[]; first: number }> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("parked"), context.group()];
  const seen: number[] = [];
  let broken = true;
  const retry = { ...quick, maxAttempts: 2 };
  await bus.subscribe(type, { group, ordered: "park-key", retry }, (event) => {
    const { at } = event.payload as { at: number };
    if (at === 0 && broken) throw new Error("stuck");
    seen.push(at);
  });
  const { id } = await bus.publish(type, { at: 0 }, { key: "k" });
  for (const at of [1, 2, 3]) await bus.publish(type, { at }, { key: "k" });
  await bus.publish(type, { at: 10 }, { key: "other" });
  const letter = await letterOf(context, bus, `${group}/${id}`);
  assert.equal(letter.parksKey, "k");
  await context.until(() => seen.includes(10), { what: "another key flows" });
  await context.quiet(30);
  assert.deepEqual(seen, [10], "the key waits behind its letter");
  broken = false;
  assert.equal(await resolve(bus, `${group}/${id}`), true);
  await context.until(() => seen.includes(3), { what: "the key goes on" });
  return { seen: seen.slice(1), first: 0 };
}

async function redriveReleasesKey(context: CheckContext): Promise<void> {
  const { seen } = await parkedKeysWait(context, (bus, id) => bus.deadLetters.redrive(id));
  assert.deepEqual(seen, [0, 1, 2, 3]);
}

async function purgeReleasesKey(context: CheckContext): Promise<void> {
  const { seen } = await parkedKeysWait(context, (bus, id) => bus.deadLetters.purge(id));
  assert.deepEqual(seen, [1, 2, 3]);
}

async function expiredAreCounted(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("expired");
  const [dropping, keeping] = [context.group("drop"), context.group("keep")];
  let calls = 0;
  const dropped = await bus.subscribe(type, { group: dropping }, () => void (calls += 1));
  const kept = { group: keeping, expired: "dead-letter" } as const;
  await bus.subscribe(type, kept, () => void (calls += 1));
  const { id } = await bus.publish(type, {}, { expiresAt: context.clock.now() - 1 });
  const letter = await letterOf(context, bus, `${keeping}/${id}`);
  await context.until(() => dropped.stats().expired === 1);
  assert.equal(letter.reason, "expired");
  assert.equal(await bus.deadLetters.get(`${dropping}/${id}`), undefined);
  assert.equal(calls, 0);
}

async function duplicatesAreSkipped(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("twice"), context.group()];
  const attempts: number[] = [];
  const retry = { ...quick, maxAttempts: 3 };
  await bus.subscribe(type, { group, retry }, (_event, { attempt }) => {
    attempts.push(attempt);
    if (attempt === 1) throw new Error("a failed attempt does not count as seen");
  });
  let others = 0;
  await bus.subscribe(type, { group: context.group("other") }, () => void (others += 1));
  const event = await bus.publish(type, {});
  await context.until(() => attempts.length === 2 && others === 1);
  await bus.publishEvent(event);
  await bus.publish(type, {}); // the carrier hands this one out after the duplicate
  await context.until(() => attempts.length >= 4 && others >= 2);
  await context.quiet(20);
  assert.deepEqual(attempts, [1, 2, 1, 2]);
  assert.equal(others, 2);
}

const bus = "bus" as const;

export const deadLetterChecks: readonly ConformanceCheck[] = [
  {
    id: "T-39",
    name: "n retries make n + 1 attempts and one dead letter that says why",
    level: bus,
    run: retriesEndInOneLetter,
  },
  {
    id: "T-40",
    name: "a terminal error, and what retryIf declines, are dead letters at once",
    level: bus,
    run: policyDecides,
  },
  {
    id: "T-41",
    name: "an event that the registry refuses is a dead letter and reaches no handler",
    level: bus,
    run: invalidIsNotHandled,
  },
  {
    id: "T-42",
    name: "an event whose dead letter cannot be written is not acked, and tried again",
    level: bus,
    run: unwrittenIsNotAcked,
  },
  {
    id: "T-43",
    name: "dead letters work the same under a wildcard",
    level: bus,
    run: wildcardsMakeLetters,
  },
  {
    id: "T-44d",
    name: "a redriven event goes back to its group alone, as attempt 1, once",
    level: bus,
    run: redriveGoesToItsGroup,
  },
  {
    id: "T-44e",
    name: "a redriven event with another payload is another event, caused by the first",
    level: bus,
    run: editedIsAnotherEvent,
  },
  {
    id: "T-45c",
    name: "a parked key waits behind its dead letter, and redriving releases it in order",
    level: bus,
    needs: needsOrder("park-key"),
    run: redriveReleasesKey,
  },
  {
    id: "T-45d",
    name: "purging the dead letter of a parked key lets the key go on",
    level: bus,
    needs: needsOrder("park-key"),
    run: purgeReleasesKey,
  },
  {
    id: "T-46",
    name: "an expired event reaches no handler, and is a dead letter only where asked for",
    level: bus,
    run: expiredAreCounted,
  },
  {
    id: "T-47",
    name: "a duplicate is skipped after a success, not after a failure, for each group apart",
    level: bus,
    run: duplicatesAreSkipped,
  },
];
