/** Queues of broadcasts whose process was killed: nobody says any more that they are in use. */
import { describeError } from "../../core/errors.ts";
import { isMissing } from "./eventbridge-error.ts";
import { removeAll } from "./groups.ts";
import type { Session } from "./session.ts";

const aliveTag = "cadre-alive";

/** What a queue says whose broadcast lives at this moment. */
export function aliveTags(session: Session): Record<string, string> {
  return { [aliveTag]: String(session.settings.clock.now()) };
}

export const sayAliveMs = 300_000;

/** Six times silent: longer than any pause of a process that still runs. */
const silentMs = 6 * sayAliveMs;

export async function sayAlive(session: Session, url: string): Promise<void> {
  const Tags = aliveTags(session);
  await session.patiently("say that a broadcast lives", (options) =>
    session.clients.queues.tagQueue({ QueueUrl: url, Tags }, options),
  );
}

/** Removes what dead processes have left. Never rejects. */
export async function sweep(session: Session): Promise<void> {
  try {
    for (const url of await broadcastQueues(session)) await sweepOne(session, url);
  } catch (error) {
    if (session.ended) return;
    const fields = { error: describeError(error).message };
    session.settings.logger.warn("Queues of dead processes could not be looked for.", fields);
  }
}

async function broadcastQueues(session: Session): Promise<readonly string[]> {
  const urls: string[] = [];
  for (let token: string | undefined, isFirst = true; isFirst || token; isFirst = false) {
    const query = { QueueNamePrefix: session.names.broadcasts, MaxResults: 1_000 };
    const page = await session.patiently("list queues", (options) =>
      session.clients.queues.listQueues(
        token === undefined ? query : { ...query, NextToken: token },
        options,
      ),
    );
    urls.push(...(page.QueueUrls ?? []));
    token = page.NextToken;
  }
  return urls;
}

async function sweepOne(session: Session, url: string): Promise<void> {
  try {
    const { Tags } = await session.patiently("look at a queue's tags", (options) =>
      session.clients.queues.listQueueTags({ QueueUrl: url }, options),
    );
    const aliveAt = Number(Tags?.[aliveTag]);
    // One without a tag is none of ours: it is made with one.
    if (!(aliveAt + silentMs < session.settings.clock.now())) return;
    await removeAll(session, url.slice(url.lastIndexOf("/") + 1));
  } catch (error) {
    if (!isMissing(error)) throw error; // another process has removed it
  }
}
