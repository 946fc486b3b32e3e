/** Instants and durations as people write and read them. */
import { CadreError } from "../core/errors.ts";

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * An instant in Unix milliseconds: `10m` (ago), an ISO date or time, or Unix milliseconds.
 * @throws {CadreError} INVALID_OPTION
 */
export function parseInstant(option: string, text: string, now: number): number {
  const agoMs = durationMs(text);
  const instant = agoMs === undefined ? instantOf(text) : Math.round(now - agoMs);
  if (instant !== undefined) return instant;
  const message =
    `${option} is "${text}". Give a time ago (90s, 10m, 2h, 1d), ` +
    "an ISO time (2026-11-21T08:00) or Unix milliseconds.";
  throw new CadreError("INVALID_OPTION", message, { option, value: text });
}

/**
 * An instant to come in Unix milliseconds: `10m` (from now), an ISO date or time, or Unix
 * milliseconds.
 * @throws {CadreError} INVALID_OPTION
 */
export function parseComing(option: string, text: string, now: number): number {
  const inMs = durationMs(text);
  const instant = inMs === undefined ? instantOf(text) : Math.round(now + inMs);
  if (instant !== undefined) return instant;
  const message =
    `${option} is "${text}". Give a time from now (90s, 10m, 2h, 1d), ` +
    "an ISO time (2026-11-21T08:00) or Unix milliseconds.";
  throw new CadreError("INVALID_OPTION", message, { option, value: text });
}

function durationMs(text: string): number | undefined {
  const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  return parts ? Number(parts[1]) * (units[parts[2] ?? ""] ?? 0) : undefined;
}

function instantOf(text: string): number | undefined {
  if (/^\d{12,14}$/.test(text)) return Number(text);
  const parsed = /^\d{4}-\d{2}/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(parsed) ? undefined : parsed;
}

/**
 * `08:15:02` today, with milliseconds if `precise`; `11-20 08:15:02` on another day. Local time.
 */
export function clockText(at: number, now: number, precise: boolean): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date(now).toDateString()) {
    return precise ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
  }
  return `${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** `850 ms`, `12 s`, `3 min`, `5 h`, `2 d`. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}
