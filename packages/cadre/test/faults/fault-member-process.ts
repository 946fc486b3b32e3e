/**
 * A member in a process of its own: `CARRIER PORT SPEC`. Holds what it is handed and tells how much,
 * until the message "settle": then it acks all of it and tells the answers.
 */
import type { ConsumeSpec, Lease } from "cadre";
import { faultCarriers } from "./fault-carriers.ts";

const [carrier, port, text] = process.argv.slice(2);
const spec = JSON.parse(text!) as ConsumeSpec & { readonly credit?: number };
const transport = faultCarriers[carrier!]!.connect(Number(port));
const intake = await transport.open(spec);
const { signal } = new AbortController();
const credit = spec.credit ?? 10;
const held: Lease[] = [];

process.on("message", (message) => {
  if (message !== "settle") return;
  const answers = held.map((lease) =>
    lease.settle({ kind: "ack" }).catch((error: unknown) => String(error)),
  );
  void Promise.all(answers).then((all) => process.send?.({ answers: all }));
});
const tell = (): void => void process.send?.({ held: held.length });
tell();
while (spec.credit === undefined || held.length < credit) {
  held.push(...(await intake.pull(spec.credit ? credit - held.length : credit, signal)));
  tell();
}
