/**
 * The older names and file shape, read into a bus URL.
 *
 *   { event_bus: { type, config: { bootstrap_servers, topic_prefix, consumer_group } } }
 *   EVENT_BUS_TYPE, KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONSUMER_GROUP, KAFKA_MAX_WORKERS
 *        ──▶  kafka://HOST:PORT,HOST:PORT?prefix=…&group=…&workers=…
 *
 * EVENT_DRIVEN_MODE=false leaves all of them aside. A variable wins over the file's field of the
 * same meaning.
 */
import { nearestName } from "../core/options.ts";
import { asTruth, invalidConfig, type Found } from "./config-key.ts";

type Env = Readonly<Record<string, string | undefined>>;
type Parts = Readonly<Record<string, Found | undefined>>;

const busTypes = 'one of "memory", "kafka"; other systems are named by CADRE_BUS, as a URL';
const fileFields = ["bootstrap_servers", "topic_prefix", "consumer_group", "max_workers"] as const;
const servers = /^[\w.[\]:-]+(?:,[\w.[\]:-]+)*$/;

/**
 * The bus that the older settings name; undefined when they name none.
 * @throws {CadreError} INVALID_CONFIG
 */
export function legacyBus(section: Found | undefined, env: Env): Found | undefined {
  const mode = variable(env, "EVENT_DRIVEN_MODE");
  if (mode) {
    const wanted = asTruth(String(mode.value));
    if (typeof wanted !== "boolean")
      throw invalidConfig("EVENT_DRIVEN_MODE", mode, "true or false");
    if (!wanted) return undefined;
  }
  const file = readSection(section);
  const type = variable(env, "EVENT_BUS_TYPE") ?? file["type"];
  if (!type) return undefined;
  const name = String(type.value).toLowerCase();
  if (name === "memory") return { value: "memory:", from: type.from };
  if (name !== "kafka") throw invalidConfig("event_bus.type", type, busTypes);
  return { value: kafkaUrl(type, file, env), from: type.from };
}

function kafkaUrl(type: Found, file: Parts, env: Env): string {
  const hosts = variable(env, "KAFKA_BOOTSTRAP_SERVERS") ?? file["bootstrap_servers"];
  if (!hosts) {
    const missing = { value: undefined, from: type.from };
    throw invalidConfig(
      "bootstrap_servers",
      missing,
      "HOST:PORT, or several with commas, for kafka",
    );
  }
  const list = (Array.isArray(hosts.value) ? hosts.value : [hosts.value]).map(String).join(",");
  const compact = list.replaceAll(/\s/g, "");
  if (!servers.test(compact)) {
    throw invalidConfig("bootstrap_servers", hosts, "HOST:PORT, or several with commas");
  }
  const workers = variable(env, "KAFKA_MAX_WORKERS") ?? file["max_workers"];
  if (workers && !/^[1-9]\d*$/.test(String(workers.value))) {
    throw invalidConfig("max_workers", workers, "a whole number of at least 1");
  }
  const query = new URLSearchParams();
  const set = (key: string, found: Found | undefined): void => {
    if (found) query.set(key, String(found.value));
  };
  const prefix = file["topic_prefix"];
  // Ours has its dot between itself and the domain.
  if (prefix) query.set("prefix", String(prefix.value).replace(/\.+$/, ""));
  set("group", variable(env, "KAFKA_CONSUMER_GROUP") ?? file["consumer_group"]);
  set("workers", workers);
  const rest = query.toString();
  return `kafka://${compact}${rest === "" ? "" : `?${rest}`}`;
}

/** The fields of the file's `event_bus`, each with its place. */
function readSection(section: Found | undefined): Parts {
  if (!section) return {};
  const { type, config = {} } = record("event_bus", section.value, section.from, [
    "type",
    "config",
  ]);
  const from = section.from;
  const fields = record("event_bus.config", config, from, fileFields);
  const parts: Record<string, Found> = {};
  if (type !== undefined) parts["type"] = { value: type, from };
  for (const [name, value] of Object.entries(fields)) {
    const isText = typeof value === "string" || typeof value === "number";
    if (!isText && !(name === "bootstrap_servers" && Array.isArray(value))) {
      throw invalidConfig(`event_bus.config.${name}`, { value, from }, "a text");
    }
    parts[name] = { value, from };
  }
  return parts;
}

function record(
  key: string,
  value: unknown,
  from: string,
  names: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidConfig(key, { value, from }, `an object with ${names.join(", ")}`);
  }
  for (const [name, held] of Object.entries(value)) {
    if (names.includes(name)) continue;
    const closest = nearestName(name, names);
    const hint = closest === undefined ? "" : ` ("${closest}"?)`;
    throw invalidConfig(`${key}.${name}`, { value: held, from }, `only ${names.join(", ")}${hint}`);
  }
  return value as Readonly<Record<string, unknown>>;
}

function variable(env: Env, name: string): Found | undefined {
  const value = env[name];
  return value === undefined || value.trim() === ""
    ? undefined
    : { value: value.trim(), from: name };
}
