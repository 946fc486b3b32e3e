/**
 * Reads the values of arguments. What cannot be read is a wrong usage, and says what would be
 * right.
 */
import { readFileSync } from "node:fs";
import { InvalidArgumentError } from "commander";

import { CadreError, describeError } from "../core/errors.ts";
import { compileFilter, type CompiledFilter, type FilterDocument } from "../core/filter.ts";

/** For a flag that is a whole number from `least` on. */
export function wholeFrom(least: number): (text: string) => number {
  return (text) => {
    if (/^\d+$/.test(text) && Number(text) >= least && Number.isSafeInteger(Number(text))) {
      return Number(text);
    }
    throw new InvalidArgumentError(`Give a whole number of at least ${least}.`);
  };
}

/** For a flag that is one of a few words. */
export function oneOfWords<const Word extends string>(
  words: readonly Word[],
): (text: string) => Word {
  return (text) => {
    const word = words.find((each) => each === text);
    if (word !== undefined) return word;
    throw new InvalidArgumentError(`Give one of ${words.join(", ")}.`);
  };
}

/**
 * JSON from the command line; `-` reads it from standard input.
 * @throws {CadreError} INVALID_OPTION
 */
export function parseJson(option: string, text: string): unknown {
  const source = text === "-" ? readFileSync(0, "utf8") : text;
  try {
    return JSON.parse(source) as unknown;
  } catch (error) {
    const { message } = describeError(error);
    throw new CadreError(
      "INVALID_OPTION",
      `${option} is no JSON: ${message}. Quote it for your shell: '{"name":"Ada"}'.`,
      { option, value: source },
    );
  }
}

/** @throws {CadreError} INVALID_OPTION | INVALID_FILTER */
export function parseFilter(text: string): { document: FilterDocument; compiled: CompiledFilter } {
  const document = parseJson("--filter", text) as FilterDocument;
  // It comes from outside the program, so it must not reach generated code.
  return { document, compiled: compileFilter(document) };
}
