/** A process of the order saga's kill test: `STORE-URL WORLD-FILE`. It ends by SIGKILL. */
import { defineAgent, startCadre } from "cadre/agents";
import { orderSaga } from "./order-saga-definition.ts";
import { OrderWorld } from "./order-world.ts";

const [url, path] = process.argv.slice(2);
const world = new OrderWorld(path!);
await startCadre({
  agents: [defineAgent({ name: `shop-${process.pid}`, capacity: 16 }).does(orderSaga(world))],
  store: url!,
  heartbeatMs: 250,
  suspectAfterMs: 1_000,
  leaseMs: 2_000,
});
process.send?.("ready");
