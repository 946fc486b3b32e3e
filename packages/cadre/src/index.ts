/**
 * Cadre: events, the bus, and everything a program needs to take part. Agents are in
 * `cadre/agents`.
 */

// The event
export { createEvent, priorities, type AgentEvent, type EventContext } from "./core/event.ts";
export type { EventMetadata, EventOptions, Priority } from "./core/event.ts";
export type { JsonPrimitive, JsonValue } from "./core/json.ts";

// The registry
export { defineEvents, type RegistryOptions } from "./core/define-events.ts";
export { type } from "./core/event-definition.ts";
export type {
  EventDefinition,
  EventDefinitions,
  JsonSchema,
  PayloadType,
  StandardSchema,
  Upcaster,
} from "./core/event-definition.ts";
export {
  builtinEvents,
  type BuiltinEvents,
  type WithBuiltinEvents,
} from "./core/builtin/registry.ts";
export {
  fromLegacyName,
  fromLegacyPattern,
  legacyNames,
  toLegacyName,
  typeOfWireName,
  wireNameOf,
} from "./core/builtin/legacy-names.ts";
export type { EventRegistry, EventsOf, EventTypeInfo } from "./core/registry.ts";
export {
  checkRelease,
  releasedSchemas,
  type ReleasedSchema,
  type ReleaseFinding,
} from "./core/released-schemas.ts";
export {
  compareSchemas,
  type CompatibilityMode,
  type SchemaChangeKind,
  type SchemaFinding,
} from "./core/schema-compatibility.ts";
export type {
  CheckedPattern,
  EventMap,
  EventOf,
  EventType,
  PayloadOf,
} from "./core/event-types.ts";

// Topics and patterns
export { assertTopic, isTopic, maxTopicBytes, maxTopicWords } from "./core/topic.ts";
export { assertPattern, compilePattern, patternsOverlap } from "./core/pattern.ts";
export { TopicTrie } from "./core/topic-trie.ts";

// On the wire
export { decodeEvent, encodeEvent } from "./core/codec/json.ts";
export type { CodecLimits } from "./core/codec/wire-json.ts";
export {
  cloudEventsBatchContentType,
  cloudEventsContentType,
  decodeCloudEvent,
  decodeCloudEventBatch,
  encodeCloudEvent,
  encodeCloudEventBatch,
  fromCloudEvent,
  toCloudEvent,
  type CloudDecodeOptions,
  type CloudEvent,
} from "./core/codec/cloudevents.ts";
export {
  decodeBinaryCloudEvent,
  encodeBinaryCloudEvent,
  type BinaryCloudEvent,
  type CloudBinding,
} from "./core/codec/cloudevents-binary.ts";
export {
  readMessage,
  wireFormat,
  wireFormatNames,
  type ForeignMessage,
  type WireFormat,
  type WireFormatName,
  type WireMessage,
} from "./core/codec/wire-format.ts";
export type { TopicFormat, WireOptions } from "./core/codec/wire-choice.ts";

// Identity and permissions
export {
  createIdentity,
  exportIdentity,
  identityFrom,
  loadIdentity,
  type CreateIdentityOptions,
  type Identity,
} from "./bus/identity/identity.ts";
export {
  KeyRing,
  type KeyVerdict,
  type TrustedKey,
  type TrustedKeys,
  type TrustLookup,
} from "./bus/identity/key-ring.ts";
export {
  keyRevoked,
  keyRotated,
  type KeyRevocation,
  type KeyRotation,
} from "./bus/identity/key-events.ts";
export {
  verifySignatures,
  type KeptEvent,
  type SignatureProblem,
  type SignatureReport,
  type VerifySignaturesOptions,
} from "./bus/identity/verify-signatures.ts";
export type { GuardOptions } from "./bus/guard-options.ts";
export type { SignatureOptions } from "./bus/identity/signature-options.ts";
export { checkSignature, signEvent, type SignatureCheck } from "./bus/identity/signed-event.ts";
export type { Violation, ViolationRule } from "./bus/identity/violation-log.ts";
export type { Member, PermissionOptions, PermissionRule, Right } from "./bus/permission-rules.ts";

// Errors
export { CadreError, RetryableError, TerminalError } from "./core/errors.ts";
export { describeError, isCadreError } from "./core/errors.ts";
export type { ErrorCode, ErrorDetails, ErrorRecord, Severity } from "./core/errors.ts";

// Time, chance, log lines
export { systemClock, VirtualClock, type Clock } from "./core/clock.ts";
export { secureRandom, SeededRandom, type Random } from "./core/random.ts";
export { createJsonLogger, silentLogger, type LogFields, type Logger } from "./core/logger.ts";

// What one unit of work writes
export type { Append, Commit, InboxMark, SlotWrite, UnitOfWork } from "./core/commit.ts";

// The bus
export { createBus } from "./bus/create-bus.ts";
export type {
  BreakerOptions,
  Bus,
  BusError,
  BusHealth,
  BusOptions,
  BusStats,
  Delivery,
  DrainReport,
  GatherOptions,
  HandleMiddleware,
  Handler,
  Overflow,
  PublishItem,
  PublishMiddleware,
  PublishOptions,
  ReplayOptions,
  RequestOptions,
  Responder,
  RetryOptions,
  SubscribeOptions,
} from "./bus/bus.ts";
export type { Subscription, SubscriptionStats } from "./bus/subscription.ts";
export type {
  Capabilities,
  ConsumeSpec,
  DeadLetter,
  DeadLetterBox,
  DeadLetterQuery,
  GroupState,
  Intake,
  Lease,
  OnRetry,
  Outgoing,
  Position,
  OrderedResult,
  PublishResult,
  ReadQuery,
  Recorded,
  Settlement,
  StartFrom,
  Transport,
} from "./bus/transport.ts";
export {
  canonicalFilter,
  compileFilter,
  type CompiledFilter,
  type CompileFilterOptions,
  type FilterDocument,
  type FilterScalar,
  type FilterSubject,
} from "./core/filter.ts";
export { FilterIndex } from "./core/filter-index.ts";
export { memory, memoryCarrier } from "./bus/memory-transport.ts";

// The event store
export { memoryStore, type MemoryStoreOptions } from "./store/memory-store.ts";
export type {
  BackupResult,
  CommitResult,
  EventStore,
  Hold,
  InspectedRow,
  LogPosition,
  LogRange,
  Slot,
  StoredEvent,
  StoreQuery,
  StoreUsage,
  TypeUsage,
} from "./store/event-store.ts";
export { decide, type DecideOptions, type DecideOutcome, type Decision } from "./store/decide.ts";
export { upcastStored, type Fold } from "./store/fold.ts";
export { createLeases } from "./store/lease.ts";
export type { HeldLease, LeaseRequest, Leases, LeaseView } from "./store/lease.ts";
export { defineProjection, foldProjection } from "./store/projection.ts";
export type {
  ApplyByType,
  Folded,
  FoldPoint,
  Projection,
  ProjectionOptions,
} from "./store/projection.ts";
export type { LogPoint } from "./store/log-point.ts";
export { startProjection } from "./store/running-projection.ts";
export type { FollowerStatus } from "./store/log-follower.ts";
export type {
  ProjectionStatus,
  RunningProjection,
  StartProjectionOptions,
} from "./store/running-projection.ts";
export { readRowCheckpoints, type RowCheckpoint } from "./store/row-checkpoint.ts";
export { defineRowProjection } from "./store/row-projection.ts";
export type {
  ApplyRows,
  ApplyRowsByType,
  RowProjection,
  RowProjectionOptions,
} from "./store/row-projection.ts";
export { startRowProjection } from "./store/running-row-projection.ts";
export type {
  RowProjectionStatus,
  RunningRowProjection,
  StartRowProjectionOptions,
} from "./store/running-row-projection.ts";
export type { SnapshotPolicy } from "./store/snapshot-policy.ts";
export { storedVersions, type StoredVersion } from "./store/stored-versions.ts";
export { differenceOf, type StateChange } from "./store/state-difference.ts";
export { diffProjection, type LogSpan, type StateDifference } from "./store/time-travel.ts";
export { startSealer, type Sealer, type SealerOptions } from "./store/sealer.ts";
export { readAnchor, type Anchor } from "./store/seal.ts";
export { verifyLog } from "./store/verify.ts";
export type { AuditProblem, AuditProblemKind, AuditReport, VerifyOptions } from "./store/verify.ts";
export { exportLog, type ExportOptions } from "./store/log-export.ts";
export { importLog, type ImportOptions, type ImportResult } from "./store/log-import.ts";
export { runRetention, startRetention } from "./store/retention.ts";
export type {
  RetentionOptions,
  RetentionReport,
  RuleReport,
  RunningRetention,
} from "./store/retention.ts";
export type { RetentionRule } from "./store/retention-rule.ts";
export type { StreamGuard } from "./store/retention-plan.ts";
export { loadStream, type LoadedStream, type LoadOptions } from "./store/snapshot.ts";

// Large payloads by reference
export { claimCheckStore } from "./store/claim-check-store.ts";
export { claimCheckTransport } from "./bus/claim-check-transport.ts";
export type { BlobInfo, BlobStore, ClaimCheckOptions } from "./core/claim-check.ts";
export { folderBlobs } from "./store/folder-blobs.ts";
export { storeBlobs } from "./store/store-blobs.ts";
export { sweepBlobs, type SweepBlobsOptions, type SweptBlobs } from "./store/sweep-blobs.ts";

export { storeUnitOfWork } from "./store/unit-of-work.ts";

// The user's own SQL database
export { inDialect } from "./core/sql.ts";
export type {
  SqlClient,
  SqlDatabase,
  SqlDialect,
  SqlResult,
  SqlRow,
  SqlValue,
  SyncSqlClient,
} from "./core/sql.ts";
export { mysqlClient, pgClient, sqliteClient } from "./core/sql-clients.ts";
export type {
  MysqlConnectionLike,
  MysqlPoolLike,
  PgClientLike,
  PgPoolLike,
  SqliteLike,
} from "./core/sql-clients.ts";

// From the store to the bus
export { startRelay, type Relay, type RelayOptions, type RelayStatus } from "./outbox/relay.ts";
export type { SetAside } from "./outbox/relay-record.ts";
