/** The table of docs/reference/capabilities.md, from what the transports declare. */
import { type Capabilities, memory, type Transport } from "cadre";
import { eventbridge } from "cadre/eventbridge";
import { kafka } from "cadre/kafka";
import { nats } from "cadre/nats";
import { postgres } from "cadre/postgres";
import { redis } from "cadre/redis";
import { rabbitmq } from "cadre/rabbitmq";
import { sqlite } from "cadre/sqlite";
import { type MadePage, table, writeIfMain } from "./docs-pages.ts";

/** None of them connects or opens a file before its first use. */
export const transports: readonly Transport[] = [
  memory(),
  sqlite("./team.db"),
  postgres("postgres://localhost/team"),
  nats("nats://localhost:4222"),
  rabbitmq("amqp://localhost:5672"),
  redis("redis://localhost:6379", { durable: "disk" }),
  eventbridge("eventbridge://eu-central-1/team"),
  kafka("kafka://localhost:9092"),
];

const meanings: Readonly<Record<keyof Capabilities, string>> = {
  durable:
    "What a resolved `publish` survives: `no` nothing, `process` SIGKILL, `disk` a power loss too.",
  durableGroups: "Groups keep their place while none of their members runs.",
  history: "What `history` and `replay` can read: `none`, `ring` the last events, `log` all kept.",
  order: "The order that positions express.",
  keyOrder: "The modes of `ordered` that are offered. Another one is refused with `UNSUPPORTED`.",
  maxRetryDelayMs: "Longest retry delay that the transport keeps by itself, in milliseconds.",
  durableDelay: "Retry delays and `deliverAt` survive a restart to the millisecond.",
  delayedPublish: "The transport keeps `deliverAt`. Else such a publish is refused.",
  durableAttempts: "The attempt number survives the member that died.",
  priorities: "A backlog is handed out by priority.",
  publisherDedupeMs: "For how long an id published again is not delivered again, in milliseconds.",
  reportsUnroutable: "`request` fails at once with `NO_RESPONDER` where nobody listens.",
  maxBytes: "Largest event, in bytes of JSON. A larger one is refused with `TOO_LARGE`.",
  crossesProcess: "Events leave the process, so the bus checks them again on arrival.",
  effects: "`once`: effects, held-back events and settling are one transaction by itself.",
};

function cell(value: Capabilities[keyof Capabilities]): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === Number.MAX_SAFE_INTEGER) return "no limit";
  if (typeof value === "number") return value.toLocaleString("en-GB");
  if (typeof value === "string") return `\`${value}\``;
  return value.length === 0 ? "none" : value.map((mode) => `\`${mode}\``).join(", ");
}

/** The page, with one row a capability. */
export const capabilitiesPage: MadePage = {
  path: "docs/reference/capabilities.md",
  made: table(
    ["capability", ...transports.map(({ name }) => name), "meaning"],
    (Object.keys(meanings) as (keyof Capabilities)[]).map((name) => [
      `\`${name}\``,
      ...transports.map(({ capabilities }) => cell(capabilities[name])),
      meanings[name],
    ]),
  ),
};

writeIfMain(capabilitiesPage, import.meta.url);
