/** What must and must not compile with an outbox. Nothing here runs. */
import { createEvent, defineEvents, secureRandom, systemClock, type } from "cadre";
import type { SqlClient, SyncSqlClient } from "cadre";
import { createInbox, createOutbox } from "cadre/outbox";

declare const tx: SqlClient;
declare const sync: SyncSqlClient;

const events = defineEvents({
  "order.placed": type<{ orderId: string }>(),
  "order.paid": type<{ amount: number }>(),
});
const outbox = createOutbox({ events });

export async function adds(): Promise<void> {
  await outbox.add(tx, { type: "order.placed", payload: { orderId: "7" } });
  await outbox.add(tx, [
    { type: "order.placed", payload: { orderId: "7" }, options: { key: "7", source: "shop" } },
    { type: "order.paid", payload: { amount: 1 } },
  ]);
  const context = { clock: systemClock, random: secureRandom, source: "shop" };
  const finished = await outbox.add(tx, createEvent(context, "order.paid", { amount: 1 }));
  finished.id.toUpperCase();
  // @ts-expect-error -- the payload is another type's
  await outbox.add(tx, { type: "order.placed", payload: { amount: 1 } });
  // @ts-expect-error -- the registry has no such type
  await outbox.add(tx, { type: "order.gone", payload: {} });
  // @ts-expect-error -- the client is not synchronous
  outbox.addSync(tx, { type: "order.paid", payload: { amount: 1 } });
  outbox.addSync(sync, { type: "order.paid", payload: { amount: 1 } }).id.toUpperCase();
}

export async function marks(): Promise<void> {
  const inbox = createInbox();
  const mark = { subscription: "billing", eventId: "e" };
  const once = await inbox.once(tx, mark, () => Promise.resolve(7));
  if (!once.duplicate) once.result.toFixed();
  // @ts-expect-error -- a duplicate has no result
  void once.result;
  // @ts-expect-error -- the name of the subscription is missing
  await inbox.once(tx, { eventId: "e" }, () => {});
}
