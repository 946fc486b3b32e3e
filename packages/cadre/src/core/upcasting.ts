/**
 * From an old payload to the current one, step by step.
 *
 *   upcast: { "1.0.0": f, "1.1.0": g }, version "2.0.0"        1.0.0 ──f──▶ 1.1.0 ──g──▶ 2.0.0
 *
 * Every version of the table leads to the current one: a step into nowhere is refused when the
 * registry is made.
 */
import { CadreError } from "./errors.ts";
import type { AgentEvent } from "./event.ts";
import type { EventDefinition, Upcaster } from "./event-definition.ts";
import { compareVersions, fullVersion } from "./payload-version.ts";

interface UpcastStep {
  readonly to: string;
  readonly up: Upcaster;
}

/** The steps by the version that they read. */
export type UpcastSteps = ReadonlyMap<string, UpcastStep>;

/** @throws {CadreError} INVALID_OPTION, when a version is none or a step leads nowhere */
export function upcastSteps(
  type: string,
  current: string,
  table: NonNullable<EventDefinition["upcast"]>,
): UpcastSteps {
  const versions = Object.keys(table).map((version) => readVersion(type, "upcast", version));
  const sorted = [...versions, current].sort(compareVersions);
  const steps = new Map<string, UpcastStep>();
  for (const [index, entry] of Object.values(table).entries()) {
    const from = versions[index]!;
    const next = sorted[sorted.indexOf(from) + 1] ?? current;
    const step =
      typeof entry === "function"
        ? { to: next, up: entry }
        : { to: readVersion(type, "upcast.to", entry.to), up: entry.up };
    steps.set(from, step);
  }
  for (const [from, { to }] of steps) {
    if (compareVersions(from, to) < 0 && (to === current || steps.has(to))) continue;
    throw new CadreError(
      "INVALID_OPTION",
      `The upcaster of "${type}" from ${from} leads to ${to}. It must lead to a later version ` +
        `that is the current one (${current}) or has an upcaster itself.`,
      { option: `${type}.upcast`, value: from },
    );
  }
  return steps;
}

export function readVersion(type: string, option: string, version: string): string {
  const full = fullVersion(version);
  if (full !== undefined) return full;
  throw new CadreError(
    "INVALID_OPTION",
    `"${version}" of event type "${type}" is no version. Give one such as "1.2.0".`,
    { option: `${type}.${option}`, value: version },
  );
}

/**
 * The payload of `event` in the version `current`.
 *
 * @throws {CadreError} INVALID_PAYLOAD, when an upcaster throws: the payload is not what its
 *   version says
 */
export function climb(
  event: AgentEvent,
  from: string,
  current: string,
  steps: UpcastSteps,
): unknown {
  let payload: unknown = event.payload;
  for (let version = from; version !== current;) {
    const step = steps.get(version)!;
    try {
      payload = (step.up as (payload: unknown, event: AgentEvent) => unknown)(payload, event);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new CadreError(
        "INVALID_PAYLOAD",
        `The payload of "${event.type}" could not be brought from version ${version} ` +
          `to ${step.to}: ${message}`,
        { type: event.type, version, issues: [{ path: "", message }] },
        error,
      );
    }
    version = step.to;
  }
  return payload;
}
