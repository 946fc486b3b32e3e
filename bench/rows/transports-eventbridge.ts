import type { Row } from "../row.ts";
import { transportRow } from "../transports/transport-row.ts";

export const row: Row = transportRow("eventbridge");
