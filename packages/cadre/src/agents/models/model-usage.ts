/** What a call has used, and what that costs. */
import type { ModelCall, ModelIdentity } from "./language-model.ts";

export interface ModelUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Of the input, read from the provider's cache. */
  readonly cachedTokens?: number;
  /** Of the output, for reasoning. */
  readonly reasoningTokens?: number;
}

/**
 * What such a use costs, in a currency of the user's. It is also asked for the worst that a call
 * may come to, before the call.
 */
export type Price = (usage: ModelUsage, model: ModelIdentity) => number;

/** What a call takes of a budget. */
export interface Spending {
  readonly tokens: number;
  readonly calls: number;
  readonly money: number;
}

export const nothing: Spending = { tokens: 0, calls: 0, money: 0 };

type Plain = Readonly<Record<string, unknown>>;

/**
 * As far as the provider says it; nothing where it says nothing.
 *
 * @param otherwise what counts as used of what it leaves out
 */
export function usageOf(
  reported: unknown,
  otherwise: ModelUsage = { inputTokens: 0, outputTokens: 0 },
): ModelUsage | undefined {
  if (typeof reported !== "object" || reported === null) return undefined;
  const { inputTokens, outputTokens, cachedInputTokens, reasoningTokens } = reported as Plain;
  const input = amountOf(inputTokens);
  const output = amountOf(outputTokens);
  if (input === undefined && output === undefined) return undefined;
  const cached = amountOf(cachedInputTokens) ?? amountOf((inputTokens as Plain)?.["cacheRead"]);
  const reasoning = amountOf(reasoningTokens) ?? amountOf((outputTokens as Plain)?.["reasoning"]);
  return {
    inputTokens: input ?? otherwise.inputTokens,
    outputTokens: output ?? otherwise.outputTokens,
    ...(cached === undefined ? {} : { cachedTokens: cached }),
    ...(reasoning === undefined ? {} : { reasoningTokens: reasoning }),
  };
}

/** A number, or the total of what is told by its parts. */
function amountOf(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) && value >= 0 ? value : undefined;
  return typeof value === "object" && value !== null
    ? amountOf((value as Plain)["total"])
    : undefined;
}

const bytesPerToken = 3; // prose has four, code and JSON three, CJK one character of three bytes
const tokensPerPart = 8; // what roles and separators take
const tokensPerFile = 2_000; // an image of a usual size; pages of a PDF take more

/** Tokens of a call's input, rather too many than too few. */
export function estimateInput({ prompt, tools, responseFormat }: ModelCall): number {
  let files = 0;
  let parts = 0;
  const text = JSON.stringify([prompt, tools, responseFormat], (_key, value: unknown) => {
    if (value instanceof Uint8Array || isFile(value)) {
      files += 1;
      return undefined;
    }
    if (typeof value === "object" && value !== null && "type" in value) parts += 1;
    return value;
  });
  const bytes = Buffer.byteLength(text);
  return Math.ceil(bytes / bytesPerToken) + parts * tokensPerPart + files * tokensPerFile;
}

function isFile(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { type } = value as Plain;
  return type === "file" || type === "image" || type === "file-data" || type === "image-data";
}
