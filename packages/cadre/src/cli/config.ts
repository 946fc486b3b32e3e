/**
 * The configuration: a file, then code, then the environment; the later wins. Public as
 * `cadre/config`.
 */
import { loadConfig as loadFile } from "c12";

import type { Transport } from "../bus/transport.ts";
import { CadreError, describeError } from "../core/errors.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { EventStore } from "../store/event-store.ts";
import { checkFound, configKeys, invalidConfig, type Found } from "./config-key.ts";
import { legacyBus } from "./legacy-config.ts";

/** What a `cadre.config.ts` may say. `startCadre` takes all of it as its options. */
export interface CadreConfig {
  /** A store, or a URL: `memory:`, `sqlite:./team.db`, `postgres://localhost/team`. */
  readonly store?: EventStore | string;
  /**
   * A transport, or a URL: `memory:`, `sqlite:./team.db`, `postgres://localhost/team`,
   * `nats://localhost:4222`, `redis://localhost:6379`, `amqp://localhost`. @default the
   * store's own log
   */
  readonly bus?: Transport | string;
  /** Name of the runtime in events. @default "cadre" */
  readonly name?: string;
  /** @default 2_000 */
  readonly heartbeatMs?: number;
  /** Silence after which an agent is suspected, in milliseconds. @default 10_000 */
  readonly suspectAfterMs?: number;
  /** Silence after which an agent's tasks are offered again, in milliseconds. @default 15_000 */
  readonly leaseMs?: number;
  /** Runs the orchestrator for features in this process. @default true */
  readonly orchestrator?: boolean;
  /** Tells the bus what is committed to the store, where they are two. @default true */
  readonly relay?: boolean;
  /** The registry of event types; only in a `.ts` or `.js` file, or in code. */
  readonly events?: EventRegistry;
}

/** The shape that older systems of this family wrote. It is read, and becomes `bus`. */
export interface OlderConfig {
  readonly event_bus?: {
    readonly type?: string;
    readonly config?: {
      readonly bootstrap_servers?: string | readonly string[];
      readonly topic_prefix?: string;
      readonly consumer_group?: string;
      readonly max_workers?: number;
    };
  };
}

export interface LoadConfigOptions {
  /** The folder of `cadre.config.(ts|js|json)`. @default the working folder */
  readonly cwd?: string;
  /** @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Settings made in code: they win over the file; the environment wins over them. */
  readonly config?: CadreConfig & OlderConfig;
  /** Settings that win over everything: what a command line was told. */
  readonly flags?: CadreConfig;
}

export interface LoadedConfig {
  readonly config: CadreConfig;
  /** For each setting the file, variable or flag that it came from. */
  readonly sources: Readonly<Record<string, string>>;
  /** The configuration file, where there is one. */
  readonly file?: string;
  /** What still works and should be written otherwise, a sentence each; absent without any. */
  readonly warnings?: readonly string[];
}

/** Types a configuration file: `export default defineConfig({ store: "sqlite:./team.db" })`. */
export function defineConfig(config: CadreConfig & OlderConfig): CadreConfig & OlderConfig {
  return config;
}

/**
 * Reads `cadre.config.(ts|js|json)`, settings in code and the environment (`CADRE_STORE`,
 * `CADRE_BUS` and so on, and the older names). Opens nothing.
 *
 * @throws {CadreError} INVALID_CONFIG, naming the key, the value, where it came from and what is
 * allowed
 */
export async function loadConfig(options: LoadConfigOptions = {}): Promise<LoadedConfig> {
  const env = options.env ?? process.env;
  const file = await readFile(options.cwd ?? process.cwd());
  const found = new Map<string, Found>();
  let older: Found | undefined;
  const take = (values: object, from: string): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) continue;
      if (name === "event_bus") older = { value, from };
      else found.set(name, { value, from });
    }
  };
  take(file.values, file.path ?? "");
  const fromFile = new Map(found);
  take(options.config ?? {}, "code");
  const bus = legacyBus(older, env);
  // A URL of today's is more exact than the older shape beside it; an older variable wins over
  // the file.
  const takesOlder = bus !== undefined && (!fromFile.has("bus") || bus.from in env);
  if (takesOlder) found.set("bus", bus);
  for (const [name, { variable, read }] of Object.entries(configKeys)) {
    const text = variable === undefined ? undefined : env[variable];
    if (variable !== undefined && text !== undefined && text !== "") {
      found.set(name, { value: read(text), from: variable });
    }
  }
  for (const [name, value] of Object.entries(options.flags ?? {})) {
    if (value !== undefined) found.set(name, { value, from: `--${name}` });
  }
  for (const [name, each] of found) checkFound(name, each);
  checkTogether(found);
  return {
    config: Object.fromEntries([...found].map(([name, { value }]) => [name, value])),
    sources: Object.fromEntries([...found].map(([name, { from }]) => [name, from])),
    ...(file.path === undefined ? {} : { file: file.path }),
    ...(takesOlder && found.get("bus") === bus ? { warnings: [olderForm(bus)] } : {}),
  };
}

function olderForm({ value, from }: Found): string {
  return (
    `The bus is named in the older form (${from}). It is read as bus: "${String(value)}"; ` +
    "write that, or set CADRE_BUS. Patterns are ours: what was x.* is x.# here."
  );
}

const presetHeartbeatMs = 2_000; // as startCadre has it

/** What `startCadre` would refuse, said with its place. */
function checkTogether(found: ReadonlyMap<string, Found>): void {
  const lease = found.get("leaseMs");
  const heartbeat = found.get("heartbeatMs");
  const least = 2 * Number(heartbeat?.value ?? presetHeartbeatMs);
  if (!lease || Number(lease.value) >= least) return;
  const where = heartbeat ? `, from ${heartbeat.from}` : "";
  throw invalidConfig(
    "leaseMs",
    lease,
    `at least ${least}: a lease must outlast a missed heartbeat (heartbeatMs is ${least / 2}${where})`,
  );
}

interface FileValues {
  readonly values: object;
  readonly path?: string;
}

async function readFile(cwd: string): Promise<FileValues> {
  let loaded: Awaited<ReturnType<typeof loadFile>>;
  try {
    loaded = await loadFile({
      name: "cadre",
      cwd,
      // Nothing but the one file: no other places, no downloads, and values as they were written.
      rcFile: false,
      globalRc: false,
      dotenv: false,
      packageJson: false,
      extend: false,
      giget: false,
      envName: false,
      // Node reads TypeScript itself, and a registry must be of the copy of Cadre that runs.
      jitiOptions: { tryNative: true },
    });
  } catch (error) {
    const { message } = describeError(error);
    const allowed = "a file that can be loaded";
    throw new CadreError(
      "INVALID_CONFIG",
      `The configuration file in ${cwd} cannot be read: ${message}`,
      { key: "", value: undefined, from: cwd, allowed },
      error,
    );
  }
  if (loaded._configFile === undefined) return { values: {} };
  const path = loaded._configFile;
  // The layer, not the merged whole: merging would drop `null`, which is to be refused.
  const values: unknown = loaded.layers?.find((layer) => layer.config)?.config;
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw invalidConfig("the configuration", { value: values, from: path }, "an object");
  }
  return { values: Object.hasOwn(values, "__esModule") ? { ...values } : values, path };
}
