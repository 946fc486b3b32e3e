import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { createIdentity, signEvent, type AgentEvent } from "cadre";
import fc from "fast-check";
import { didOfKey } from "#src/bus/identity/did-key.ts";
import { anyEvent } from "../core/codec/arbitrary-event.ts";
import { mutations } from "./mutations.ts";

const script = fileURLToPath(
  new URL("../../../../docs/reference/verify_signature.py", import.meta.url),
);
const reader = createIdentity({ seed: new Uint8Array(32).fill(1) });
const other = createIdentity({ seed: new Uint8Array(32).fill(2) });
const seed = process.env["CADRE_SEED"] ? { seed: Number(process.env["CADRE_SEED"]) } : {};

function checked(events: readonly AgentEvent[]): readonly string[] {
  const input = events.map((event) => `${JSON.stringify(event)}\n`).join("");
  const { stdout, stderr, status } = spawnSync("python3", [script], { input, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout.trimEnd().split("\n");
}

const hasPython =
  spawnSync("python3", ["-c", "import cryptography"], { encoding: "utf8" }).status === 0;
const skip = hasPython ? {} : { skip: "python3 with the package cryptography is not here" };

test("a program of another language finds the same signatures good and bad", skip, () => {
  const signable = anyEvent.filter((event) => !/\\ud[89a-f]/i.test(JSON.stringify(event)));
  const samples = fc.sample(fc.tuple(signable, fc.infiniteStream(fc.nat())), {
    ...seed,
    numRuns: 500,
  });
  const good = samples.map(([event]) => signEvent(event, reader));
  const bad = samples.flatMap(([, chances], index) => mutations(good[index]!, chances, other));
  const said = checked([...good, ...bad.map(({ event }) => event)]);
  for (const [index, line] of said.entries()) {
    if (index < good.length) assert.equal(line, `valid ${reader.did}`);
    else assert.doesNotMatch(line, /^valid/, bad[index - good.length]!.what);
  }
});

test("it takes no weak key and no second spelling of a key either", skip, () => {
  const weak = Buffer.from(`01${"00".repeat(31)}`, "hex");
  const fitsAll = Buffer.concat([weak, Buffer.alloc(32)]).toString("base64url");
  const event = signEvent(fc.sample(anyEvent, { seed: 1, numRuns: 1 })[0]!, reader);
  const signedAs = (signature: string): AgentEvent => {
    return { ...event, metadata: { ...event.metadata, signature } };
  };
  const [form, did, encoded] = event.metadata.signature!.split(".");
  const respelled = `${form}.${did!.replace("did:key:z", "did:key:z1")}.${encoded}`;
  assert.deepEqual(
    checked([event, signedAs(`cadre1.${didOfKey(weak)}.${fitsAll}`), signedAs(respelled)]),
    [`valid ${reader.did}`, "malformed", "malformed"],
  );
});
