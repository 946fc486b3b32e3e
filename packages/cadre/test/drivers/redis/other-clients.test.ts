/** `redis-cli` shows what we write, and the CloudEvents SDK reads it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { CloudEvent, HTTP } from "cloudevents";
import { redis } from "cadre/redis";
import { redisServerPath, startRedisServer } from "../../servers/redis-server.ts";
import { makeEvent } from "../plain-events.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;

test("redis-cli shows an event's fields, and the CloudEvents SDK reads it", { skip }, async () => {
  await using server = await startRedisServer();
  const transport = redis(server.url);
  const event = makeEvent("task.created", { title: "ünï 💡", lines: 2 });
  const [result] = await transport.publish([{ event }]);
  assert.equal(result!.ok, true);
  await transport.close();

  const ask = (...command: readonly string[]): unknown => {
    const args = ["-p", String(server.port), "--json", ...command];
    return JSON.parse(execFileSync("redis-cli", args, { encoding: "utf8" }));
  };
  const [[, list]] = ask("XRANGE", "{cadre}:e:task", "-", "+") as [[string, string[]]];
  const fields: Record<string, string> = {};
  for (let at = 0; at < list.length; at += 2) fields[list[at]!] = list[at + 1]!;
  assert.equal(fields["id"], event.id);
  assert.equal(fields["type"], "task.created");

  const headers = { "content-type": "application/cloudevents+json" };
  const read = HTTP.toEvent<unknown>({ headers, body: fields["event"]! });
  assert.ok(read instanceof CloudEvent && read.validate());
  assert.equal(read.id, event.id);
  assert.equal(read.type, "task.created");
  assert.equal(read.source, "test");
  assert.deepEqual(read.data, event.payload);
});
