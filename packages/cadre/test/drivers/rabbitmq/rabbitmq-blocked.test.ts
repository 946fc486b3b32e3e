/** A server that has run out of memory reads from nobody who publishes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createEvent, isCadreError, secureRandom, systemClock, type AgentEvent } from "cadre";
import { rabbitmq } from "cadre/rabbitmq";
import { rabbitmqServerPath, startRabbitmqServer } from "../../servers/rabbitmq-server.ts";

const skip = rabbitmqServerPath() === undefined ? "there is no rabbitmq-server here" : false;

function makeEvent(): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "test" };
  return createEvent(context, "note.taken", {});
}

test(
  "publishes are refused with OVERLOADED while the server has no memory, and close ends",
  { skip, timeout: 60_000 },
  async () => {
    await using server = await startRabbitmqServer(["vm_memory_high_watermark.absolute = 1MB"]);
    const transport = rabbitmq(server.url, { requestTimeoutMs: 1_000 });
    assert.deepEqual(await transport.publish([]), []);
    for (const round of ["the first, which the server reads no more", "those after it"]) {
      const results = await transport.publish([{ event: makeEvent() }, { event: makeEvent() }]);
      for (const result of results) {
        assert.ok(!result.ok, round);
        assert.ok(isCadreError(result.error, "OVERLOADED"), `${round}: ${String(result.error)}`);
        assert.match(result.error.message, /memory/);
      }
    }
    const startedAt = systemClock.monotonic();
    await transport.close();
    assert.ok(systemClock.monotonic() - startedAt < 10_000, "close does not wait for memory");
  },
);
