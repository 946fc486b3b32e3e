// Every event is signed by its agent, and what is not is never handled. A forger on the same
// carrier tries five ways; each is rejected and recorded, and the payments go on.
import {
  createEvent,
  createIdentity,
  memory,
  memoryStore,
  secureRandom,
  signEvent,
  systemClock,
  type AgentEvent,
} from "cadre";
import { defineAgent, startCadre } from "cadre/agents";

const team = createIdentity();
const ordering = createIdentity();
const forging = createIdentity();

const paid: string[] = [];
const cashier = defineAgent({ name: "cashier", identity: createIdentity() }).on(
  "custom.payment",
  ({ source, payload }) => void paid.push(`${source}: ${JSON.stringify(payload)}`),
);

const carrier = memory();
await using cadre = await startCadre({
  store: memoryStore(),
  bus: carrier,
  agents: [cashier],
  identity: team,
  signatures: { mode: "require", trusted: { orders: ordering.did } },
});

const violations: string[] = [];
await cadre.bus.subscribe("violation.detected", ({ payload }) => {
  const { agent, rule } = payload as { agent: string; rule: string };
  violations.push(`${rule}, in the name of ${agent}`);
});

function payment(source: string, amount: number): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source };
  return createEvent(context, "custom.payment", { amount });
}

const genuine = signEvent(payment("orders", 10), ordering);
const attacks: readonly AgentEvent[] = [
  payment("orders", 1_000_000), // unsigned
  signEvent(payment("orders", 1_000_000), forging), // signed by another key than the source's
  { ...genuine, id: "another", payload: { amount: 1_000_000 } }, // altered
  signEvent(payment("nobody", 1_000_000), forging), // of nobody that is trusted
  genuine, // a replay: the same event once more
];

await carrier.publish([{ event: genuine }]);
for (const event of attacks) await carrier.publish([{ event: structuredClone(event) }]);
await carrier.publish([{ event: signEvent(payment("orders", 20), ordering) }]);

while (paid.length < 2 || violations.length < 4) await systemClock.sleep(5);
await cadre.bus.idle();
for (const line of [...paid, ...violations.toSorted()]) console.log(line);

/* Output:
orders: {"amount":10}
orders: {"amount":20}
altered, in the name of orders
forged, in the name of orders
unknown_signer, in the name of nobody
unsigned, in the name of orders
 */
