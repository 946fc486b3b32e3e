import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import {
  checkSignature,
  createBus,
  createEvent,
  createIdentity,
  exportIdentity,
  memory,
  secureRandom,
  signEvent,
  systemClock,
  type AgentEvent,
} from "cadre";
import { report } from "../load.ts";
import { check, perSecond, type Row, type Running } from "../row.ts";

const count = 3_000;
const identity = createIdentity();

function made(index: number): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "bench" };
  return createEvent(context, "task.completed", report(index));
}

/** Figures beside the rate: microseconds an event. */
async function timed(work: () => Promise<void> | void): Promise<Record<string, number>> {
  const rate = await perSecond(count, work);
  return { perSecond: rate, microseconds: 1e6 / rate };
}

function startValues(scenario: string): Running {
  const events = Array.from({ length: count }, (_each, index) => made(index));
  const signed = events.map((event) => signEvent(event, identity));
  return {
    async round() {
      let good = 0;
      const figures = await timed(() => {
        for (const [index, event] of events.entries()) {
          const one = scenario === "verify" ? signed[index]! : signEvent(event, identity);
          if (scenario === "sign" || checkSignature(one).valid) good += 1;
        }
      });
      check("good signatures", good, count);
      return figures;
    },
  };
}

/** The same bytes, with nothing around them: what the key alone costs. */
function startCrypto(scenario: string): Running {
  const key = createPrivateKey(exportIdentity(identity));
  const publicKey = createPublicKey(key);
  const texts = Array.from({ length: count }, (_each, index) =>
    Buffer.from(JSON.stringify(made(index))),
  );
  const signatures = texts.map((text) => sign(null, text, key));
  return {
    async round() {
      let good = 0;
      const figures = await timed(() => {
        for (const [index, text] of texts.entries()) {
          const one = scenario === "verify" ? signatures[index]! : sign(null, text, key);
          if (scenario === "sign" || verify(null, text, publicKey, one)) good += 1;
        }
      });
      check("good signatures", good, count);
      return figures;
    },
  };
}

/** Two buses on one carrier: one publishes, the other has it verified before its handler. */
async function startBuses(scenario: string): Promise<Running> {
  const isOn = scenario === "published, signed and verified";
  const transport = memory();
  const trusted = { bench: identity.did };
  const publishing = createBus({ transport, source: "bench", ...(isOn ? { identity } : {}) });
  const hearing = createBus({
    transport,
    source: "reader",
    ...(isOn ? { signatures: { trusted } } : {}),
  });
  let heard = 0;
  await hearing.subscribe("task.completed", { maxQueued: count }, () => {
    heard += 1;
  });
  return {
    async round() {
      const before = heard;
      const figures = await timed(async () => {
        for (let index = 0; index < count; index += 1) {
          await publishing.publish("task.completed", report(index));
        }
        await hearing.idle();
      });
      check("events handled", heard - before, count);
      return figures;
    },
    close: async () => {
      await hearing.close();
      await publishing.close();
    },
  };
}

const values = ["sign", "verify", "sign and verify"];
const buses = ["published", "published, signed and verified"];

export const row: Row = {
  title: "a signature for each event: Ed25519 over its canonical form",
  contenders: {
    cadre: {
      scenarios: [...values, ...buses],
      start: (scenario) =>
        values.includes(scenario) ? startValues(scenario) : startBuses(scenario),
    },
    "node:crypto": { scenarios: values, start: startCrypto },
  },
  goals: [
    {
      what: "signing and verifying, against the key alone",
      of: ["cadre", "sign and verify", "perSecond"],
      over: ["node:crypto", "sign and verify", "perSecond"],
      atLeast: 0.6,
    },
    {
      what: "microseconds an event, signed and verified",
      of: ["cadre", "sign and verify", "microseconds"],
      atMost: 1_000,
    },
  ],
};
