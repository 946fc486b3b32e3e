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

export interface Protocol {
  /** Sequence numbers by `topic:partition`, in the form that `produce` takes. */
  numbers(entries: ReadonlyMap<string, number>): Library.NumericMap;
  readonly metadata: Of<typeof Library.metadataV12.api>;
  readonly findCoordinator: Of<typeof Library.findCoordinatorV3.api>;
  readonly createTopics: Of<typeof Library.createTopicsV7.api>;
  readonly describeConfigs: Of<typeof Library.describeConfigsV4.api>;
  readonly listOffsets: Of<typeof Library.listOffsetsV7.api>;
  readonly fetch: Of<typeof Library.fetchV12.api>;
  readonly produce: Of<typeof Library.produceV9.api>;
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
    numbers: (entries) => new apis.NumericMap(entries),
    metadata: request(apis.metadataV12.api),
    findCoordinator: request(apis.findCoordinatorV3.api),
    createTopics: request(apis.createTopicsV7.api),
    describeConfigs: request(apis.describeConfigsV4.api),
    listOffsets: request(apis.listOffsetsV7.api),
    fetch: request(apis.fetchV12.api),
    produce: request(apis.produceV9.api),
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
