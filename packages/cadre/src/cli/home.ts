/** What a command works on: the configured store and bus. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";

import type { Bus } from "../bus/bus.ts";
import { createBus } from "../bus/create-bus.ts";
import type { Transport } from "../bus/transport.ts";
import { openStore, openTransport, type OpenedStore } from "../agents/open-url.ts";
import { CadreError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { secureRandom } from "../core/random.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { EventStore } from "../store/event-store.ts";
import type { CommandContext } from "./command-context.ts";
import { loadConfig, type CadreConfig, type LoadedConfig } from "./config.ts";

/** Where a team lives when nobody says otherwise. */
export const presetStore = "sqlite:.cadre/team.db";

export interface HomeFlags {
  readonly store?: string;
  readonly bus?: string;
}

interface BusUse {
  /** Makes the store where there is none; otherwise a store that isn't there is an error. */
  readonly creates?: boolean;
  /** What is published is checked against it. Without one nothing read is refused. */
  readonly events?: (config: CadreConfig) => EventRegistry;
}

/** The configuration with the flags on it, and the preset store where none was named. */
export async function configured(
  context: CommandContext,
  flags: HomeFlags,
  code: CadreConfig = {},
): Promise<LoadedConfig> {
  const { store, bus } = flags;
  const loaded = await loadConfig({
    cwd: context.cwd,
    env: context.env,
    config: code,
    flags: { ...(store === undefined ? {} : { store }), ...(bus === undefined ? {} : { bus }) },
  });
  for (const warning of loaded.warnings ?? []) context.output.note(`cadre: ${warning}`);
  if (loaded.config.store !== undefined) return loaded;
  return { ...loaded, config: { ...loaded.config, store: presetStore } };
}

/** Opens the bus, gives it to `use`, and closes it whatever happens. */
export async function withBus<Result>(
  context: CommandContext,
  flags: HomeFlags,
  use: (bus: Bus) => Promise<Result>,
  needs: BusUse = {},
): Promise<Result> {
  const { config } = await configured(context, flags);
  const { clock } = context;
  const tools = { clock, random: secureRandom, logger: silentLogger };
  const home = await openBus(config, context, needs.creates ?? false);
  try {
    const events = needs.events?.(config);
    const { transport } = home;
    const bus = createBus({ transport, source: "cli", ...tools, ...(events ? { events } : {}) });
    try {
      return await use(bus);
    } finally {
      await bus.close({ deadlineMs: closeMs });
    }
  } finally {
    await home.close();
  }
}

/** Opens the store, gives it to `use`, and closes it whatever happens. */
export async function withStore<Result>(
  context: CommandContext,
  flags: HomeFlags,
  use: (store: EventStore, config: CadreConfig) => Promise<Result>,
  needs: Pick<BusUse, "creates"> = {},
): Promise<Result> {
  const { config } = await configured(context, flags);
  const opened = await openHome(config.store ?? presetStore, context, needs.creates ?? false);
  try {
    return await use(opened.store, config);
  } finally {
    await opened.close();
  }
}

const closeMs = 1_000; // the command's own subscriptions have nothing to finish

/** The bus that is named, or else the log that the store is. */
async function openBus(
  config: CadreConfig,
  context: CommandContext,
  creates: boolean,
): Promise<{ readonly transport: Transport; close(): Promise<void> }> {
  const { bus } = config;
  if (bus === undefined) {
    const opened = await openHome(config.store ?? presetStore, context, creates);
    if (opened.transport) return { transport: opened.transport, close: () => opened.close() };
    await opened.close();
    const message = "The store is no bus, and no bus is named. Name one with --bus or CADRE_BUS.";
    throw new CadreError("INVALID_OPTION", message, { option: "bus" });
  }
  const close = (): Promise<void> => Promise.resolve(); // a bus closes its transport
  if (typeof bus !== "string") return { transport: bus, close };
  assertReachable(bus, context.cwd, creates);
  const { clock } = context;
  const tools = { clock, random: secureRandom, logger: silentLogger };
  return { transport: await openTransport(located(bus, context.cwd), tools), close };
}

async function openHome(
  store: EventStore | string,
  context: CommandContext,
  creates: boolean,
): Promise<OpenedStore> {
  if (typeof store !== "string") return { store, close: () => store.close() };
  assertReachable(store, context.cwd, creates);
  const { clock } = context;
  return openStore(located(store, context.cwd), {
    clock,
    random: secureRandom,
    logger: silentLogger,
  });
}

const sqliteScheme = "sqlite:";

/** A URL whose path, if it has one, is absolute. Anything else stays as it is. */
export function located<Place>(place: Place | string, cwd: string): Place | string {
  if (typeof place !== "string" || !place.startsWith(sqliteScheme)) return place;
  return sqliteScheme + resolve(cwd, place.slice(sqliteScheme.length));
}

function assertReachable(url: string, cwd: string, creates: boolean): void {
  if (url === "memory:") {
    throw new CadreError(
      "UNSUPPORTED",
      "memory: lives and ends with its process; there is nothing that another process could see. Name a store such as sqlite:./team.db.",
      { feature: "other processes", by: "memory:" },
    );
  }
  if (creates || !url.startsWith(sqliteScheme)) return;
  const path = located(url, cwd).slice(sqliteScheme.length);
  if (existsSync(path)) return;
  throw new CadreError(
    "NOT_FOUND",
    `There is no store at ${path}. Start a team with "cadre run FILE", or name another store with --store or CADRE_STORE.`,
    { what: "store", id: path },
  );
}
