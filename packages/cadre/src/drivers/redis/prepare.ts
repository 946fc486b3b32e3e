/** What is asked of a server before it is used. */
import { CadreError, isCadreError } from "../../core/errors.ts";
import { prepareScript } from "./lua-groups.ts";
import type { Durability } from "./redis-options.ts";
import type { Session } from "./session.ts";

const format = "1";
const ranks: readonly Durability[] = ["no", "process", "disk"];

/**
 * Marks the bus on the server, and finds out how safe it is there.
 *
 * @throws {CadreError} INVALID_OPTION, when the bus was made with other settings
 * @throws {CadreError} UNSUPPORTED, when the server keeps less than `durable` asks for
 */
export async function prepare(session: Session): Promise<void> {
  await markBus(session);
  const { durable: asked, logger } = session.settings;
  const found = await askDurability(session);
  session.durable = found ?? asked ?? "no";
  if (asked !== undefined && ranks.indexOf(session.durable) < ranks.indexOf(asked)) {
    const message =
      `The Redis server at ${session.url} is set to keep less than "${asked}" asks for. Start it ` +
      "with --appendonly yes --appendfsync always, and no eviction, or ask for less.";
    throw new CadreError("UNSUPPORTED", message, { feature: `durable: "${asked}"`, by: "redis" });
  }
  if (asked === undefined && session.durable === "no") {
    logger.warn("The Redis server may lose events that it has taken when it ends suddenly.", {
      url: session.url,
      advice: "--appendonly yes --appendfsync always",
    });
  }
}

async function markBus(session: Session): Promise<void> {
  const { streams } = session.settings;
  const kept = await session.run("the first look", prepareScript, [format, streams]);
  const [foundFormat, foundStreams] = (kept as Buffer[]).map(String);
  if (foundFormat !== format) {
    const message = `The bus at ${session.url} has format ${foundFormat}, and this is ${format}.`;
    throw new CadreError("UNSUPPORTED", message, { feature: "format", by: "redis" });
  }
  if (foundStreams === streams) return;
  const message = `The bus at ${session.url} has streams: "${foundStreams}". Say the same.`;
  throw new CadreError("INVALID_OPTION", message, { option: "streams", value: streams });
}

/** Nothing where the server does not tell. */
async function askDurability(session: Session): Promise<Durability | undefined> {
  try {
    const settings = await Promise.all(
      ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy"].map((name) =>
        askSetting(session, name),
      ),
    );
    const [appendOnly, fsync, maxMemory, policy] = settings;
    if (appendOnly === undefined || fsync === undefined) return undefined;
    if (appendOnly !== "yes") return "no";
    if (maxMemory !== "0" && policy?.startsWith("allkeys") === true) return "no"; // it evicts
    if (fsync === "always") return "disk";
    // With everysec the server answers before it writes, while a sync of the last second runs.
    return fsync === "no" ? "process" : "no";
  } catch (error) {
    if (isCadreError(error, "UNREACHABLE") && session.connected) return undefined; // not allowed
    throw error;
  }
}

async function askSetting(session: Session, name: string): Promise<string | undefined> {
  const answer = await session.command("CONFIG", "GET", name);
  const value: unknown = Array.isArray(answer)
    ? answer[1]
    : (answer as Readonly<Record<string, unknown>> | null)?.[name];
  return typeof value === "string" ? value : undefined;
}
