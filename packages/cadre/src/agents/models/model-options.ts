/** How models are called. */
import {
  anything,
  checkOptions,
  oneOf,
  someFunction,
  someObject,
  someText,
  wholeNumber,
} from "../../core/options.ts";
import type { StepRetry } from "../step-options.ts";
import { checkModel, type LanguageModel, type ModelCall } from "./language-model.ts";
import type { Price } from "./model-usage.ts";

export interface StreamOptions {
  /** Longest time that text is kept back, in milliseconds. @default 200 */
  readonly everyMs?: number;
  /** What has come to so many characters is not kept back. @default 1_024 */
  readonly everyChars?: number;
  /**
   * Whether the pieces are events (`agent.stream`) as well, which live for a minute. @default only
   * where the bus is not the store's log, for there each would be a row
   */
  readonly events?: boolean;
}

/** Of a model; `startCadre({ models })` says the same for all that say nothing. */
export interface ModelOptions {
  /**
   * The journal's name for its calls, which are then `name/1`, `name/2` … Give one to each model
   * that is used side by side with others. @default "model", the second one of a handler "model-2"
   */
  readonly name?: string;
  /** @default no cost is told; a budget of money needs one */
  readonly price?: Price;
  /** Tokens of a call's input, for what is reserved. @default a third of its bytes, and a little */
  readonly estimate?: (call: ModelCall) => number;
  /**
   * The most that a call may answer where it doesn't say so itself and a budget has to be kept.
   * @default 4_096
   */
  readonly maxOutputTokens?: number;
  /**
   * What happens when a budget does not allow the call. `stop`: the task fails, as it will whoever
   * tries. `degrade`: the call goes to `degradeTo`; if that is too much too, it stops. `ask`: the
   * task waits for a person to raise the budget and say that it may go on. @default "stop"
   */
  readonly onExhausted?: "stop" | "degrade" | "ask";
  /** A cheaper model. */
  readonly degradeTo?: LanguageModel;
  /** The rate limit that each call takes 1 of. @default `provider:` and the provider's name */
  readonly limit?: string;
  /** Of what may pass: too many calls, trouble of the provider. @default 4 tries from 500 ms on */
  readonly retry?: StepRetry;
  /** Of streams, for `readStream`. `false`: nobody reads along. @default 200 ms */
  readonly stream?: StreamOptions | false;
}

const rules = {
  name: someText,
  price: someFunction,
  estimate: someFunction,
  maxOutputTokens: wholeNumber(1),
  onExhausted: oneOf("stop", "degrade", "ask"),
  degradeTo: anything,
  limit: someText,
  retry: someObject,
  stream: anything,
} as const;

/** @throws {CadreError} INVALID_OPTION */
export function checkModelOptions(where: string, options: ModelOptions): void {
  checkOptions(where, options, rules);
  if (options.degradeTo !== undefined) checkModel(`degradeTo of ${where}`, options.degradeTo);
  if (options.retry) {
    checkOptions(`the retry of ${where}`, options.retry, {
      maxAttempts: wholeNumber(1),
      delayMs: wholeNumber(0),
      maxDelayMs: wholeNumber(0),
    });
  }
  if (!options.stream) return;
  checkOptions(`the stream of ${where}`, options.stream, {
    everyMs: wholeNumber(0),
    everyChars: wholeNumber(1),
    events: anything,
  });
}
