/** Events of every kind for property tests. */
import { createEvent, SeededRandom, VirtualClock, type AgentEvent, type Priority } from "cadre";
import fc from "fast-check";

/** The seed of all property tests of one run; a failure prints it and `CADRE_SEED` repeats it. */
export const runs: fc.Parameters<unknown> = {
  numRuns: 300,
  ...(process.env["CADRE_SEED"] ? { seed: Number(process.env["CADRE_SEED"]) } : {}),
};

const anyText = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.string({ unit: "binary", minLength: 1 }),
  fc.constantFrom(
    "did:key:z6Mk",
    "a b",
    "ünï",
    "%41",
    "\ud800",
    "\u0000",
    '"',
    "x\r\nce-id: 1",
    "__proto__",
    "//",
    "a:b",
    "#",
    "http://a:b/",
  ),
);
const anyInstant = fc.oneof(
  fc.integer({ min: 0, max: 4_000_000_000_000 }),
  fc.constantFrom(0, 0.5, 253_402_300_799_999, 253_402_300_800_000, 1e20),
);
const anyJson = fc.jsonValue({ maxDepth: 4 });
const anyName = fc.oneof(
  fc.stringMatching(/^[a-z0-9]{1,22}$/),
  fc.constantFrom(
    "subject",
    "dataschema",
    "id",
    "data",
    "severitytext",
    "cadrejson",
    "__proto__",
    "Upper",
    "with-dash",
    "toString",
    "sampledrate",
  ),
  anyText,
);

const options = fc.record(
  {
    version: fc.constantFrom("1.0.0", "2.1.0", "1.0"),
    correlationId: anyText,
    target: anyText,
    key: anyText,
    priority: fc.constantFrom<Priority>("low", "normal", "high", "critical"),
    expiresAt: anyInstant,
    deliverAt: anyInstant,
    agentId: anyText,
    userId: anyText,
    tenant: anyText,
    traceparent: fc.constant("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    tracestate: anyText,
    replyTo: anyText,
    replayOf: anyText,
    signature: anyText,
    extensions: fc
      .array(fc.tuple(anyName, fc.oneof(anyJson, anyText)), { maxLength: 5 })
      .map((entries) => Object.fromEntries(entries) as Record<string, never>),
    id: anyText,
  },
  { requiredKeys: [] },
);

export const anyEvent: fc.Arbitrary<AgentEvent> = fc
  .record({
    type: fc.constantFrom("task.created", "error", "custom.ünï.x", "a"),
    source: anyText,
    payload: fc.oneof(anyJson, fc.constantFrom({ severity: "error" }, { severity: "warning" })),
    options,
    at: anyInstant,
    caused: fc.boolean(),
  })
  .map(({ type, source, payload, options: given, at, caused }) => {
    const context = { clock: new VirtualClock(at), random: new SeededRandom(1), source };
    const cause = createEvent(context, "cause.of.it", null);
    // JSON has no -0 and no bigger numbers than doubles; `createEvent` settles the rest.
    return createEvent(context, type, payload, caused ? { ...given, cause } : given);
  });
