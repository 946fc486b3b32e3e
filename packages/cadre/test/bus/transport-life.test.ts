import assert from "node:assert/strict";
import { test } from "node:test";
import type { Intake, PublishResult } from "#src/bus/transport.ts";
import { TransportLife, type LifeParts } from "#src/bus/transport-life.ts";
import { CadreError, isCadreError } from "#src/core/errors.ts";

const isClosed = (error: unknown): boolean => isCadreError(error, "CLOSED");

/** A life whose connection is a text, and what happened in it. */
function beginLife(changes: Partial<LifeParts<string>> = {}): {
  readonly life: TransportLife<string, Intake>;
  readonly story: string[];
} {
  const story: string[] = [];
  const life = new TransportLife<string, Intake>({
    connect: () => {
      story.push("connect");
      return Promise.resolve("connection");
    },
    end: (connection) => {
      story.push(`end ${connection}`);
      return Promise.resolve();
    },
    forCaller: (error, connection, what) => new Error(`${what}: ${String(error)} (${connection})`),
    closedError: () => new CadreError("CLOSED", "It is closed.", { what: "test" }),
    ...changes,
  });
  return { life, story };
}

function intakeOf(story: string[]): Intake {
  return {
    pull: () => Promise.resolve([]),
    close: () => {
      story.push("close intake");
      return Promise.resolve();
    },
  };
}

test("what is used at the same time opens one connection", async () => {
  const { life, story } = beginLife();
  assert.deepEqual(await Promise.all([life.connection(), life.connection()]), [
    "connection",
    "connection",
  ]);
  assert.deepEqual(story, ["connect"]);
});

test("a connection that failed is tried again at the next use", async () => {
  let tries = 0;
  const connect = (): Promise<string> => {
    tries += 1;
    return tries === 1 ? Promise.reject(new Error("refused")) : Promise.resolve("second");
  };
  const { life } = beginLife({ connect });
  await assert.rejects(life.connection(), /refused/);
  assert.equal(await life.connection(), "second");
});

test("an error is told in the driver's words, with what was done", async () => {
  const { life } = beginLife();
  const failing = life.use("list", () => Promise.reject(new Error("no")));
  await assert.rejects(failing, { message: "list: Error: no (connection)" });
});

test("close waits for what is being published, closes the intakes, then ends", async () => {
  const { life, story } = beginLife();
  await life.openIntake(() => Promise.resolve(intakeOf(story)));
  const answer = Promise.withResolvers<readonly PublishResult[]>();
  const publishing = life.publish(() => answer.promise).then(() => story.push("published"));
  await life.connection();
  const closing = life.close();
  assert.equal(life.close(), closing);
  await new Promise(setImmediate);
  assert.deepEqual(story, ["connect"]);
  answer.resolve([]);
  await closing;
  await publishing;
  assert.deepEqual(story, ["connect", "published", "close intake", "end connection"]);
});

test("an intake that cannot close does not keep the connection open", async () => {
  const { life, story } = beginLife();
  const close = (): Promise<void> => Promise.reject(new Error("stuck"));
  await life.openIntake(() => Promise.resolve({ ...intakeOf(story), close }));
  await life.close();
  assert.deepEqual(story, ["connect", "end connection"]);
});

test("an intake that opens while the transport closes is closed and not handed out", async () => {
  const { life, story } = beginLife();
  const joined = Promise.withResolvers<Intake>();
  const opening = life.openIntake(() => joined.promise);
  await life.connection();
  await life.close();
  joined.resolve(intakeOf(story));
  await assert.rejects(opening, isClosed);
  assert.deepEqual(story, ["connect", "end connection", "close intake"]);
});

test("what fails while the transport closes is told that it is closed", async () => {
  const { life } = beginLife();
  const answer = Promise.withResolvers<never>();
  const asked = life.use("list", () => answer.promise);
  await life.connection();
  const closing = life.close();
  answer.reject(new Error("connection lost"));
  await assert.rejects(asked, isClosed);
  await closing;
});

test("close ends the tries to connect, and a connection made all the same", async () => {
  const made = Promise.withResolvers<string>();
  let told: unknown;
  const { life, story } = beginLife({
    connect: (signal) => {
      signal.addEventListener("abort", () => (told = signal.reason));
      return made.promise;
    },
  });
  const opening = life.connection();
  const closing = life.close();
  await Promise.resolve();
  await Promise.resolve();
  assert.ok(isClosed(told));
  made.resolve("late");
  await closing;
  assert.equal(await opening, "late");
  assert.deepEqual(story, ["end late"]);
});

test("close without a connection ends nothing", async () => {
  const { life, story } = beginLife();
  await life.close();
  assert.deepEqual(story, []);
  const { life: failed, story: none } = beginLife({
    connect: () => Promise.reject(new Error("refused")),
  });
  await assert.rejects(failed.connection(), /refused/);
  await failed.close();
  assert.deepEqual(none, []);
});

test("after close everything is refused and nothing connects", async () => {
  const { life, story } = beginLife();
  await life.close();
  await assert.rejects(life.connection(), isClosed);
  await assert.rejects(
    life.use("list", () => Promise.resolve()),
    isClosed,
  );
  await assert.rejects(
    life.publish(() => Promise.resolve([])),
    isClosed,
  );
  await assert.rejects(
    life.openIntake(() => Promise.resolve(intakeOf(story))),
    isClosed,
  );
  assert.deepEqual(story, []);
});
