import { claimCheckTransport } from "../bus/claim-check-transport.ts";
import type { Transport } from "../bus/transport.ts";
import type { BlobStore, ClaimCheckOptions } from "../core/claim-check.ts";
import type { Clock } from "../core/clock.ts";
import { claimCheckStore } from "../store/claim-check-store.ts";
import type { EventStore } from "../store/event-store.ts";
import { folderBlobs } from "../store/folder-blobs.ts";
import { storeBlobs } from "../store/store-blobs.ts";

/** Where the large payloads of a team lie. All processes of one log must say the same. */
export interface LargePayloads extends Pick<ClaimCheckOptions, "overBytes"> {
  /** `store`: in the team's store. `{ folder }`: in files. @default "store" */
  readonly in?: "store" | { readonly folder: string } | BlobStore;
}

interface Carriers {
  readonly store: EventStore;
  readonly transport: Transport;
}

/** @throws {CadreError} INVALID_OPTION */
export function keepApart(
  { store, transport }: Carriers,
  { in: place = "store", ...rest }: LargePayloads,
  clock: Clock,
): Carriers {
  const options = { ...rest, blobs: openBlobs(place, store, clock) };
  return {
    store: claimCheckStore(store, options),
    transport: claimCheckTransport(transport, options),
  };
}

function openBlobs(place: LargePayloads["in"] & {}, store: EventStore, clock: Clock): BlobStore {
  if (place === "store") return storeBlobs(store, { clock });
  return "folder" in place ? folderBlobs(place.folder, { clock }) : place;
}
