/**
 * The few parts of the AWS clients that the transport uses. Their types aren't imported, to have no
 * dependency on them: `new EventBridge()` and `new SQS()` of AWS' SDK fit.
 */

export interface CallOptions {
  readonly abortSignal?: AbortSignal;
}

type Call<Input, Output> = (input: Input, options?: CallOptions) => Promise<Output>;

export interface PutEntry {
  EventBusName: string;
  Source: string;
  DetailType: string;
  Detail: string;
}

export interface RuleLike {
  readonly Name?: string | undefined;
  readonly Description?: string | undefined;
  readonly EventPattern?: string | undefined;
}

interface RuleName {
  EventBusName: string;
  Name: string;
}

export interface EventsClientLike {
  putEvents: Call<
    { Entries: PutEntry[] },
    {
      readonly Entries?:
        | readonly {
            readonly ErrorCode?: string | undefined;
            readonly ErrorMessage?: string | undefined;
          }[]
        | undefined;
    }
  >;
  describeEventBus: Call<{ Name: string }, { readonly Arn?: string | undefined }>;
  createEventBus: Call<{ Name: string }, unknown>;
  putRule: Call<RuleName & { EventPattern: string; Description: string }, unknown>;
  describeRule: Call<RuleName, RuleLike>;
  deleteRule: Call<RuleName, unknown>;
  listRules: Call<
    { EventBusName: string; NamePrefix: string; NextToken?: string },
    { readonly Rules?: readonly RuleLike[] | undefined; readonly NextToken?: string | undefined }
  >;
  putTargets: Call<
    { EventBusName: string; Rule: string; Targets: { Id: string; Arn: string }[] },
    { readonly FailedEntryCount?: number | undefined }
  >;
  removeTargets: Call<{ EventBusName: string; Rule: string; Ids: string[] }, unknown>;
  destroy(): void;
}

export interface AttributeLike {
  readonly DataType?: string | undefined;
  readonly StringValue?: string | undefined;
}

export interface MessageLike {
  readonly MessageId?: string | undefined;
  readonly ReceiptHandle?: string | undefined;
  readonly Body?: string | undefined;
  readonly Attributes?: Readonly<Record<string, string | undefined>> | undefined;
  readonly MessageAttributes?: Readonly<Record<string, AttributeLike>> | undefined;
}

/** How each item of a batch fared, by the id that it was given. */
export interface BatchAnswer {
  readonly Failed?:
    | readonly {
        readonly Id?: string | undefined;
        readonly Code?: string | undefined;
        readonly Message?: string | undefined;
      }[]
    | undefined;
}

export interface SendEntry {
  Id: string;
  MessageBody: string;
  DelaySeconds?: number;
  MessageAttributes?: Record<string, { DataType: string; StringValue: string }>;
}

export interface QueuesClientLike {
  createQueue: Call<
    { QueueName: string; Attributes: Record<string, string>; tags?: Record<string, string> },
    { readonly QueueUrl?: string | undefined }
  >;
  getQueueUrl: Call<{ QueueName: string }, { readonly QueueUrl?: string | undefined }>;
  getQueueAttributes: Call<
    { QueueUrl: string; AttributeNames: "All"[] },
    { readonly Attributes?: Readonly<Record<string, string | undefined>> | undefined }
  >;
  deleteQueue: Call<{ QueueUrl: string }, unknown>;
  listQueues: Call<
    { QueueNamePrefix: string; MaxResults: number; NextToken?: string },
    { readonly QueueUrls?: readonly string[] | undefined; readonly NextToken?: string | undefined }
  >;
  tagQueue: Call<{ QueueUrl: string; Tags: Record<string, string> }, unknown>;
  listQueueTags: Call<
    { QueueUrl: string },
    { readonly Tags?: Readonly<Record<string, string | undefined>> | undefined }
  >;
  receiveMessage: Call<
    {
      QueueUrl: string;
      MaxNumberOfMessages: number;
      WaitTimeSeconds: number;
      VisibilityTimeout: number;
      MessageSystemAttributeNames: "All"[];
      MessageAttributeNames: string[];
    },
    { readonly Messages?: readonly MessageLike[] | undefined }
  >;
  sendMessageBatch: Call<{ QueueUrl: string; Entries: SendEntry[] }, BatchAnswer>;
  deleteMessageBatch: Call<
    { QueueUrl: string; Entries: { Id: string; ReceiptHandle: string }[] },
    BatchAnswer
  >;
  changeMessageVisibilityBatch: Call<
    {
      QueueUrl: string;
      Entries: { Id: string; ReceiptHandle: string; VisibilityTimeout: number }[];
    },
    BatchAnswer
  >;
  destroy(): void;
}

/** Clients of the user's own, which stay open when the transport closes. */
export interface AwsClients {
  /** `new EventBridge()` */
  readonly events: EventsClientLike;
  /**
   * `new SQS()`. Each open subscription keeps a connection of it busy: give it as many sockets.
   */
  readonly queues: QueuesClientLike;
}
