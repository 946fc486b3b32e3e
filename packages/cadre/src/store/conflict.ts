import type { InboxMark } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";

/** A stream or slot is not where its writer thought. */
export function versionConflict(
  name: string,
  expected: number,
  actual: number,
): CadreError<"VERSION_CONFLICT"> {
  return new CadreError(
    "VERSION_CONFLICT",
    `"${name}" is at version ${actual}, not ${expected}. ` +
      "Read it again, decide again, and commit with that version.",
    { stream: name, expected, actual },
  );
}

/**
 * The subscription has handled this event: a second commit of the same work would double its
 * effects.
 */
export function inboxConflict(mark: InboxMark): CadreError<"VERSION_CONFLICT"> {
  const name = `inbox/${mark.subscription}/${mark.eventId}`;
  return new CadreError(
    "VERSION_CONFLICT",
    `The subscription "${mark.subscription}" has handled the event ${mark.eventId} already. ` +
      "Nothing was written.",
    { stream: name, expected: 0, actual: 1 },
  );
}
