/**
 * The functions of the client library, one for each request that is sent. Their versions are fixed:
 * what Kafka 2.8 and all newer brokers speak.
 *
 * The library is used below its clients: its connections, its encoding, its records. Who owns which
 * partition, what is committed with it, and when a member may stop are decided here, and its
 * consumer leaves no room for that.
 */
import type * as Library from "@platformatic/kafka";
import { CadreError } from "../../core/errors.ts";
import type { KafkaConnectionLike } from "./client.ts";
import type { Checksum } from "./record-batch.ts";
import type { Inflate } from "./record-reader.ts";

const library = "@platformatic/kafka";

type Request<Args extends unknown[], Answer> = (
  connection: KafkaConnectionLike,
  ...args: Args
) => Promise<Answer>;

/** @throws {CadreError} MISSING_LIBRARY */
export async function loadLibrary(): Promise<typeof Library> {
  try {
    return await import("@platformatic/kafka");
  } catch (error) {
    const install = `npm install ${library}`;
    const message = `Kafka is reached with ${library}, which is not installed. Run: ${install}`;
    throw new CadreError("MISSING_LIBRARY", message, { library, install }, error);
  }
}

function request<Args extends unknown[], Answer>(
  api: Library.API<Args, Answer>,
): Request<Args, Answer> {
  return async (connection, ...args) => {
    try {
      // A connection that was handed in has what the library's functions use: `send`.
      return await api.async(connection as Library.Connection, ...args);
    } catch (error) {
      // An answer in which some items were refused: the caller looks at each item's code.
      if (error instanceof Error && "response" in error && error.response !== undefined) {
        return error.response as Answer;
      }
      throw error;
    }
  };
}

type Of<Api> = Api extends Library.API<infer Args, infer Answer> ? Request<Args, Answer> : never;

/** What one partition is to be given. */
export interface EncodedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: Buffer;
}

/** What a broker had, with the records as they lie in the log. */
export interface FetchAnswer {
  readonly errorCode: number;
  readonly partitions: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly errorCode: number;
    /** Behind the last record that is safe to read. */
    readonly end: number;
    readonly start: number;
    readonly records: Buffer | null;
  }[];
}

export interface Protocol {
  /** What a batch is checked with. */
  readonly checksum: Checksum;
  /** Of what other programs have compressed. */
  readonly inflate: Inflate;
  readonly metadata: Of<typeof Library.metadataV12.api>;
  readonly findCoordinator: Of<typeof Library.findCoordinatorV3.api>;
  readonly createTopics: Of<typeof Library.createTopicsV7.api>;
  readonly describeConfigs: Of<typeof Library.describeConfigsV4.api>;
  readonly listOffsets: Of<typeof Library.listOffsetsV7.api>;
  readonly fetch: Request<Parameters<typeof Library.fetchV12.createRequest>, FetchAnswer>;
  /** Batches that are encoded already; all replicas in sync have to have them. */
  readonly produce: Request<
    [timeoutMs: number, batches: readonly EncodedBatch[]],
    ReturnType<typeof Library.produceV9.parseResponse>
  >;
  readonly initProducerId: Of<typeof Library.initProducerIdV4.api>;
  readonly joinGroup: Of<typeof Library.joinGroupV7.api>;
  readonly syncGroup: Of<typeof Library.syncGroupV5.api>;
  readonly heartbeat: Of<typeof Library.heartbeatV4.api>;
  readonly leaveGroup: Of<typeof Library.leaveGroupV4.api>;
  readonly offsetCommit: Of<typeof Library.offsetCommitV8.api>;
  readonly offsetFetch: Of<typeof Library.offsetFetchV7.api>;
  readonly describeGroups: Of<typeof Library.describeGroupsV5.api>;
  readonly deleteGroups: Of<typeof Library.deleteGroupsV2.api>;
}

export async function loadProtocol(): Promise<Protocol> {
  const apis = await loadLibrary();
  return {
    checksum: apis.crc32c,
    inflate: (compression, data) => {
      const algorithm = apis.compressionsAlgorithmsByBitmask[compression];
      if (algorithm) return algorithm.decompressSync(data);
      throw new Error(`a batch is compressed in a way that is not known here (${compression})`);
    },
    metadata: request(apis.metadataV12.api),
    findCoordinator: request(apis.findCoordinatorV3.api),
    createTopics: request(apis.createTopicsV7.api),
    describeConfigs: request(apis.describeConfigsV4.api),
    listOffsets: request(apis.listOffsetsV7.api),
    fetch: request(fetchOf(apis)),
    produce: request(produceOf(apis)),
    initProducerId: request(apis.initProducerIdV4.api),
    joinGroup: request(apis.joinGroupV7.api),
    syncGroup: request(apis.syncGroupV5.api),
    heartbeat: request(apis.heartbeatV4.api),
    leaveGroup: request(apis.leaveGroupV4.api),
    offsetCommit: request(apis.offsetCommitV8.api),
    offsetFetch: request(apis.offsetFetchV7.api),
    describeGroups: request(apis.describeGroupsV5.api),
    deleteGroups: request(apis.deleteGroupsV2.api),
  };
}

const allInSync = -1;

/** The library's own encodes record by record, in many small buffers. */
function produceOf(
  apis: typeof Library,
): Library.API<
  [timeoutMs: number, batches: readonly EncodedBatch[]],
  ReturnType<typeof Library.produceV9.parseResponse>
> {
  const { key, version } = apis.produceV9.api;
  const createRequest = (timeoutMs: number, batches: readonly EncodedBatch[]): Library.Writer => {
    const byTopic = [...Map.groupBy(batches, ({ topic }) => topic)];
    return apis.Writer.create()
      .appendString(null) // in no transaction
      .appendInt16(allInSync)
      .appendInt32(timeoutMs)
      .appendArray(byTopic, (topics, [topic, list]) => {
        topics.appendString(topic).appendArray(list, (writer, { partition, records }) => {
          writer.appendInt32(partition).appendBytes(records);
        });
      })
      .appendTaggedFields();
  };
  return apis.createAPI(key, version, createRequest, apis.produceV9.parseResponse);
}

/** The library's own makes objects of all that is in a record, and copies each. */
function fetchOf(
  apis: typeof Library,
): Library.API<Parameters<typeof Library.fetchV12.createRequest>, FetchAnswer> {
  const { createRequest, api } = apis.fetchV12;
  const parse: Library.ResponseParser<FetchAnswer> = (_correlation, _key, _version, reader) => {
    reader.skip(4); // how long it was held back
    const errorCode = reader.readInt16();
    reader.skip(4); // a session, of which there is none
    const topics = reader.readArray((each) => {
      const topic = each.readString();
      return each.readArray(
        () => {
          const partition = reader.readInt32();
          const refused = reader.readInt16();
          reader.skip(8); // the high watermark
          const end = Number(reader.readInt64());
          const start = Number(reader.readInt64());
          reader.readNullableArray(() => void reader.skip(16)); // transactions that were ended
          reader.skip(4); // a nearer replica
          const records = reader.readNullableBytes();
          apis.readKnownTaggedFields(reader, {});
          return { topic, partition, errorCode: refused, end, start, records };
        },
        true,
        false,
      );
    });
    return { errorCode, partitions: topics.flat() };
  };
  return apis.createAPI(api.key, api.version, createRequest, parse);
}
