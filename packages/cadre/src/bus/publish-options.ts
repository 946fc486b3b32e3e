/** What a publisher may set beside type and payload. */
import {
  checkOptions,
  someObject,
  someText,
  wholeNumber,
  type OptionRules,
} from "../core/options.ts";
import { metadataFields } from "../core/event.ts";
import type { PublishOptions } from "./bus.ts";

const noOptions: PublishOptions = Object.freeze({});

/** Names that a publisher may set; the values are checked where the event is made. */
const publishNames = new Set<string>([
  "cause",
  "id",
  "source",
  ...metadataFields.filter((field) => field !== "causationId"), // follows from the cause
]);

export const publishRules: OptionRules<PublishOptions> = Object.fromEntries(
  [...publishNames].map((name) => [name, ruleFor(name)]),
) as unknown as OptionRules<PublishOptions>; // made from the list above

function ruleFor(name: string): (typeof publishRules)["id"] {
  if (name === "cause" || name === "extensions") return someObject;
  if (name === "expiresAt" || name === "deliverAt") return wholeNumber(0);
  return someText;
}

/**
 * Refuses an unknown option. The loop without a table look-up for each rule keeps a publish cheap.
 * @throws {CadreError} INVALID_OPTION
 */
export function checkPublishOptions(options: PublishOptions | undefined): PublishOptions {
  if (options === undefined) return noOptions;
  for (const name in options) {
    if (!publishNames.has(name)) checkOptions("publish", options, publishRules);
  }
  return options;
}
