import { createEvent, secureRandom, systemClock } from "cadre";
import { report } from "../load.ts";
import { check, perSecond, type Row, type Running } from "../row.ts";

const count = 50_000;

/** `make` returns the id of what it made. */
function running(make: (index: number) => string): Running {
  return {
    async round() {
      const ids: string[] = [];
      const rate = await perSecond(count, () => {
        for (let index = 0; index < count; index += 1) ids.push(make(index));
      });
      check("different ids", new Set(ids).size, count);
      return { perSecond: rate };
    },
  };
}

function startCadre(): Running {
  const context = { clock: systemClock, random: secureRandom, source: "bench" };
  const cause = createEvent(context, "task.created", report(0));
  return running((index) => {
    const event = createEvent(context, "task.completed", report(index), { cause });
    if (event.metadata.causationId !== cause.id) throw new Error("the cause is lost");
    return event.id;
  });
}

async function startCloudEvents(): Promise<Running> {
  const { CloudEvent } = await import("cloudevents");
  const cause = new CloudEvent({ source: "bench", type: "task.created", data: report(0) });
  return running((index) => {
    const event = new CloudEvent({
      source: "bench",
      type: "task.completed",
      correlationid: cause.id,
      causationid: cause.id,
      data: report(index),
    });
    if (event["causationid"] !== cause.id) throw new Error("the cause is lost");
    return event.id;
  });
}

export const row: Row = {
  title: "making one event with a cause: id, time, checks, frozen copy of the payload",
  contenders: {
    cadre: { scenarios: ["create"], start: startCadre },
    cloudevents: { needs: "cloudevents", scenarios: ["create"], start: startCloudEvents },
  },
  goals: [
    {
      what: "against the CloudEvents SDK",
      of: ["cadre", "create", "perSecond"],
      over: ["cloudevents", "create", "perSecond"],
      atLeast: 15,
    },
  ],
};
