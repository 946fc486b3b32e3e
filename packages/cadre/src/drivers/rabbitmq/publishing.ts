import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { Unroutable } from "./outlet.ts";
import { forCaller } from "./rabbitmq-error.ts";
import type { Session } from "./session.ts";
import { encodeMessage, headerOf, publishOptions, type EncodedMessage } from "./wire.ts";

/** All are sent at once, in their order: the confirms are waited for together. */
export function publishAll(
  session: Session,
  batch: readonly Outgoing[],
): Promise<readonly PublishResult[]> {
  return Promise.all(batch.map((item) => publishOne(session, item)));
}

async function publishOne(session: Session, { event, to }: Outgoing): Promise<PublishResult> {
  try {
    const message = encodeMessage(event, session.settings.wire);
    const mark = session.mark();
    if (to) {
      await direct(session, { event, message, mark }, to);
      return { ok: true };
    }
    const options = publishOptions(event, message, { [headerOf.mark]: mark });
    await session.outlet.send({
      exchange: session.names.events,
      key: event.type,
      content: message.content,
      options,
    });
    return { ok: true, position: mark };
  } catch (error) {
    return { ok: false, error: forCaller(error, session.url, "publish") };
  }
}

/** A copy for one group. */
async function direct(
  session: Session,
  item: { readonly event: AgentEvent; readonly message: EncodedMessage; readonly mark: string },
  to: NonNullable<Outgoing["to"]>,
): Promise<void> {
  const { event, message, mark } = item;
  const headers = {
    [headerOf.mark]: mark,
    [headerOf.attempt]: to.attempt ?? 1,
    [headerOf.directedAt]: session.settings.clock.now(),
    [headerOf.directedId]: event.id,
  };
  const options = { ...publishOptions(event, message, headers), mandatory: true };
  try {
    // Not by way of `back`: that would take it for a group that is gone.
    await session.outlet.send({
      exchange: "",
      key: session.names.group(to.group),
      content: message.content,
      options,
    });
  } catch (error) {
    if (!(error instanceof Unroutable)) throw error;
    const reason =
      `There is no group "${to.group}" at ${session.url}. ` +
      "Subscribe with it first, or fix its name.";
    throw new CadreError("NOT_FOUND", reason, { what: "group", id: to.group });
  }
}
