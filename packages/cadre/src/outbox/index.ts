/**
 * The outbox and the inbox in the user's own database, and the archive of what passes a broker:
 * `cadre/outbox`. The adapters for database clients (`sqliteClient`, `pgClient`, `mysqlClient`) are
 * in `cadre`.
 */
export { createOutbox } from "./outbox.ts";
export type { Outbox, OutboxInput, OutboxItem, OutboxOptions } from "./outbox.ts";
export type { OutboxBacklog, OutboxEntry, OutboxQuery } from "./outbox-backlog.ts";
export { startOutboxRelay } from "./outbox-relay.ts";
export type { OutboxRelay, OutboxRelayOptions, OutboxRelayStatus } from "./outbox-relay.ts";
export { createInbox, type Inbox, type InboxOptions, type Once, type OnceEach } from "./inbox.ts";
export { inboxMigration, outboxMigration, type OutboxState } from "./outbox-table.ts";
export { startArchive, type Archive, type ArchiveOptions, type ArchiveStatus } from "./archive.ts";
export { withArchive } from "./archive-transport.ts";
export { verifyArchive } from "./archive-check.ts";
export type { ArchiveCheck, ArchiveCheckOptions } from "./archive-check.ts";
