import { jsonArray, plainArray, textArray } from "./array-literal.ts";
import { richColumns, type EncodedEvent } from "./event-rows.ts";
import { toStoredText } from "./stored-text.ts";

/** The columns of many events, each as one parameter. Those that all leave NULL are `null`. */
export interface EventArrays {
  readonly ids: string;
  readonly types: string;
  readonly sources: string;
  readonly timestamps: string;
  readonly correlations: string;
  readonly causations: string;
  readonly payloads: string;
  readonly deliver_ats: string | null;
  readonly keys: string | null;
  readonly ranks: string | null;
  readonly schemas: string | null;
  readonly extras: string | null;
}

const nothingRich = { deliver_ats: null, keys: null, ranks: null, schemas: null, extras: null };

export function eventArrays(events: readonly EncodedEvent[]): EventArrays {
  return {
    ids: plainArray(events.map(({ id }) => id)),
    types: textArray(events.map(({ event }) => toStoredText(event.type))),
    sources: textArray(events.map(({ event }) => toStoredText(event.source))),
    timestamps: plainArray(events.map(({ event }) => event.timestamp)),
    correlations: plainArray(events.map(({ correlation }) => correlation)),
    causations: plainArray(events.map(({ causation }) => causation)),
    payloads: jsonArray(events.map(({ payload }) => payload)),
    ...(events.some(({ isRich }) => isRich) ? richArrays(events) : nothingRich),
  };
}

function richArrays(events: readonly EncodedEvent[]): {
  [Name in keyof typeof nothingRich]: string;
} {
  const columns = events.map(({ event }) => richColumns(event));
  return {
    deliver_ats: plainArray(columns.map(({ deliverAt }) => deliverAt)),
    keys: textArray(columns.map(({ key }) => key)),
    ranks: plainArray(columns.map(({ rank }) => rank)),
    schemas: textArray(columns.map(({ schema }) => schema)),
    extras: jsonArray(events.map(({ extra }) => extra)),
  };
}
