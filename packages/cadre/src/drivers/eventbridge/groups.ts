/**
 * Groups: a queue that all members share, and a rule that fills it.
 *
 * Who makes the queue first decides: a digest of the group's definition is the name of a statement
 * in the queue's policy, and a queue that is there is never changed. The rule says the definition
 * in full. A rule that was just made is proved with a probe: AWS says that it is there before every
 * event finds it.
 */
import type { ConsumeSpec, GroupState } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { CallOptions, RuleLike } from "./client.ts";
import { isMissing, isPassing, isSoonFree, isTaken } from "./eventbridge-error.ts";
import { digest } from "./names.ts";
import { probeType, rulePattern } from "./rule-pattern.ts";
import type { Session } from "./session.ts";

/** SQS keeps the name of a deleted queue for a minute. */
const nameKeptMs = 75_000;

export interface Joined {
  readonly name: string;
  readonly url: string;
  /** Whether the rule was made, or changed, just now. */
  readonly isNew: boolean;
}

/** @throws {CadreError} GROUP_MISMATCH */
export async function joinGroup(session: Session, spec: ConsumeSpec): Promise<Joined> {
  const { subscription: group, definition } = spec;
  const name = session.names.group(group);
  const { retentionMs } = session.settings;
  const known = describe(session, name);
  known.catch(() => {}); // thrown below, unless the queue cannot be had either
  const url = await makeQueue(session, { name, mark: digest(definition), retentionMs });
  const attributes = await attributesOf(session, url);
  const wanted = `Cadre${digest(definition)}`;
  if (!(attributes["Policy"] ?? "").includes(wanted)) {
    const { Description } = (await describe(session, name)) ?? {};
    throw mismatch(group, definition, readDescription(Description).definition);
  }
  const description = JSON.stringify({ group, definition });
  const rule = { name, patterns: spec.patterns, description };
  const isNew = (await known)?.EventPattern !== patternOf(session, rule);
  if (isNew) await putRule(session, rule);
  await fillRule(session, name); // also one that is there: who made it may have been killed before
  return { name, url, isNew };
}

function mismatch(group: string, actual: string, expected: string): CadreError {
  const message =
    `Group "${group}" is defined as ${expected}, and this member says ${actual}. ` +
    "Give all members one definition, use another group name, or forget this group, and what " +
    `it had not handled, with: cadre groups delete ${group} --yes`;
  return new CadreError("GROUP_MISMATCH", message, { group, expected, actual });
}

export interface QueueSpec {
  readonly name: string;
  /** Tells queues of one name apart. */
  readonly mark: string;
  readonly retentionMs: number;
  /** Of a queue that is made. */
  readonly tags?: Record<string, string>;
}

/** The URL of the queue, which is there afterwards. */
export async function makeQueue(session: Session, spec: QueueSpec): Promise<string> {
  const { name, mark, retentionMs, tags = {} } = spec;
  const Attributes = {
    MessageRetentionPeriod: String(Math.ceil(retentionMs / 1_000)),
    Policy: JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        {
          Sid: `Cadre${mark}`,
          Effect: "Allow",
          Principal: { Service: "events.amazonaws.com" },
          Action: "sqs:SendMessage",
          Resource: session.queueArn(name),
          Condition: { ArnEquals: { "aws:SourceArn": session.ruleArn(name) } },
        },
      ],
    }),
  };
  const make = (options: CallOptions): Promise<{ readonly QueueUrl?: string | undefined }> =>
    session.clients.queues.createQueue({ QueueName: name, Attributes, tags }, options);
  try {
    const { QueueUrl } = await session.patiently(
      `make queue ${name}`,
      make,
      nameKeptMs,
      (error) => !isSoonFree(error) && !isPassing(error),
    );
    return session.noteQueue(name, QueueUrl);
  } catch (error) {
    if (!isTaken(error)) throw error;
    session.forgetQueue(name);
    return session.queueUrl(name); // made with other attributes; the caller compares what counts
  }
}

export interface RuleSpec {
  readonly name: string;
  readonly patterns: readonly string[];
  readonly description: string;
}

/** Lets the events of the patterns through, as soon as it has a target. */
export async function putRule(session: Session, rule: RuleSpec): Promise<void> {
  const { name } = rule;
  const { eventBus: EventBusName } = session.settings;
  const EventPattern = patternOf(session, rule);
  const Description = fitting(rule.description);
  await session.patiently(`make rule ${name}`, (options) =>
    session.clients.events.putRule(
      { EventBusName, Name: name, EventPattern, Description },
      options,
    ),
  );
}

function patternOf(session: Session, { name, patterns }: RuleSpec): string {
  return rulePattern(patterns, session.names.source, session.names.probe(name));
}

/** Makes the queue of the same name the rule's target. */
export async function fillRule(session: Session, name: string): Promise<void> {
  const { eventBus: EventBusName } = session.settings;
  const Targets = [{ Id: "queue", Arn: session.queueArn(name) }];
  const { FailedEntryCount = 0 } = await session.patiently(`fill ${name}`, (options) =>
    session.clients.events.putTargets({ EventBusName, Rule: name, Targets }, options),
  );
  if (FailedEntryCount > 0) throw new Error(`AWS did not take the queue as target of rule ${name}`);
}

export async function sendProbe(session: Session, name: string): Promise<void> {
  const { eventBus: EventBusName } = session.settings;
  const entry = {
    EventBusName,
    Source: session.names.probe(name),
    DetailType: probeType,
    Detail: "{}",
  };
  await session.patiently(`prove rule ${name}`, (options) =>
    session.clients.events.putEvents({ Entries: [entry] }, options),
  );
}

/** Rule and queue; none of them need be there. */
export async function removeAll(session: Session, name: string): Promise<void> {
  const { eventBus: EventBusName } = session.settings;
  const { events, queues } = session.clients;
  const steps: [string, (options: CallOptions) => Promise<unknown>][] = [
    [
      `empty rule ${name}`,
      (options) => events.removeTargets({ EventBusName, Rule: name, Ids: ["queue"] }, options),
    ],
    [`delete rule ${name}`, (options) => events.deleteRule({ EventBusName, Name: name }, options)],
    [
      `delete queue ${name}`,
      async (options) => queues.deleteQueue({ QueueUrl: await session.queueUrl(name) }, options),
    ],
  ];
  for (const [what, step] of steps) {
    try {
      await session.patiently(what, step);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  session.forgetQueue(name);
}

export async function listGroups(session: Session): Promise<readonly GroupState[]> {
  const { eventBus: EventBusName } = session.settings;
  const states: GroupState[] = [];
  for (let token: string | undefined, isFirst = true; isFirst || token; isFirst = false) {
    const query = { EventBusName, NamePrefix: session.names.groups };
    const page = await session.patiently("list groups", (options) =>
      session.clients.events.listRules(
        token === undefined ? query : { ...query, NextToken: token },
        options,
      ),
    );
    for (const rule of page.Rules ?? []) states.push(...(await stateOf(session, rule)));
    token = page.NextToken;
  }
  return states.toSorted((left, right) => (left.name < right.name ? -1 : 1));
}

/** Nothing of a rule whose queue has just gone. */
async function stateOf(session: Session, rule: RuleLike): Promise<readonly GroupState[]> {
  const { group, definition } = readDescription(rule.Description);
  try {
    const attributes = await attributesOf(session, await session.queueUrl(rule.Name ?? ""));
    const count = (name: string): number => Number(attributes[name] ?? 0);
    const open =
      count("ApproximateNumberOfMessages") +
      count("ApproximateNumberOfMessagesNotVisible") +
      count("ApproximateNumberOfMessagesDelayed");
    return [{ name: group, definition, behind: 0, open }];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

export async function attributesOf(
  session: Session,
  url: string,
): Promise<Readonly<Record<string, string | undefined>>> {
  const { Attributes = {} } = await session.patiently("look at a queue", (options) =>
    session.clients.queues.getQueueAttributes({ QueueUrl: url, AttributeNames: ["All"] }, options),
  );
  return Attributes;
}

async function describe(session: Session, name: string): Promise<RuleLike | undefined> {
  const { eventBus: EventBusName } = session.settings;
  try {
    return await session.patiently(`look for rule ${name}`, (options) =>
      session.clients.events.describeRule({ EventBusName, Name: name }, options),
    );
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

const maxDescription = 512; // of a rule, in characters

/** As it is, or of a long one as much as fits and still reads as JSON. */
function fitting(description: string): string {
  if (description.length <= maxDescription) return description;
  const { group, definition } = readDescription(description);
  for (let length = 300; length > 0; length -= 20) {
    const cut = `${definition.slice(0, length)}… ${digest(definition)}`;
    const shorter = JSON.stringify({ group, definition: cut });
    if (shorter.length <= maxDescription) return shorter;
  }
  return JSON.stringify({ group: group.slice(0, 200), definition: digest(definition) });
}

function readDescription(text: string | undefined): {
  readonly group: string;
  readonly definition: string;
} {
  try {
    const read = JSON.parse(text ?? "") as { group?: unknown; definition?: unknown };
    return { group: String(read.group), definition: String(read.definition) };
  } catch {
    return { group: text ?? "", definition: "something else" };
  }
}
