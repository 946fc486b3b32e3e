/** Which pattern matches which topic: the table that every carrier must agree with. */

export interface PatternVector {
  readonly pattern: string;
  readonly topic: string;
  readonly matches: boolean;
}

function rows(pattern: string, matching: string, others: string): PatternVector[] {
  const of = (topics: string, matches: boolean): PatternVector[] =>
    topics.split(" ").flatMap((topic) => (topic === "" ? [] : [{ pattern, topic, matches }]));
  return [...of(matching, true), ...of(others, false)];
}

export const patternVectors: readonly PatternVector[] = [
  // No wildcard: the topic itself, and no longer, shorter or similar one.
  ...rows("task", "task", "tasks tas task.created created.task"),
  ...rows(
    "task.created",
    "task.created",
    "task task.create task.created.now TASK.CREATED xtask.created",
  ),
  ...rows("a.a", "a.a", "a a.a.a a.b"),
  // `*` is exactly one word, wherever it stands.
  ...rows("*", "task a", "task.created a.b.c"),
  ...rows("task.*", "task.created task.x task.-", "task task.assigned.reader feature.created"),
  ...rows("*.created", "task.created feature.created", "created a.task.created task.created.x"),
  ...rows("agent.*.query", "agent.reader.query", "agent.query agent.a.b.query agent.reader.quer"),
  ...rows("*.*", "a.b task.created", "a a.b.c"),
  ...rows("*.*.*", "a.b.c", "a.b a.b.c.d"),
  // RabbitMQ's tutorial: <speed>.<colour>.<species>.
  ...rows(
    "*.orange.*",
    "quick.orange.rabbit lazy.orange.elephant quick.orange.fox",
    "lazy.brown.fox quick.brown.fox orange quick.orange.new.rabbit",
  ),
  ...rows(
    "*.*.rabbit",
    "quick.orange.rabbit lazy.pink.rabbit",
    "lazy.orange.elephant quick.orange.new.rabbit",
  ),
  ...rows(
    "lazy.#",
    "lazy lazy.orange.elephant lazy.pink.rabbit lazy.brown.fox lazy.orange.new.rabbit",
    "quick.orange.rabbit quick.orange.new.rabbit",
  ),
  // `#` is zero or more words.
  ...rows("#", "a task.created a.b.c.d.e.f", ""),
  ...rows("task.#", "task task.created task.assigned.reader", "tasks tasks.created a.task"),
  ...rows(
    "#.error",
    "error agent.error tool.call.error error.error",
    "errors error.x agent.error.x",
  ),
  ...rows("a.#.z", "a.z a.b.z a.b.c.z a.z.z a.a.z", "a z a.b.zz b.z a.z.b"),
  ...rows("#.b.#", "b a.b b.c a.b.c a.a.b.c.c b.b", "a a.c bb a.bb.c"),
  ...rows(
    "a.#.b.#.c",
    "a.b.c a.x.b.c a.b.x.c a.x.x.b.y.y.c a.b.b.c a.b.c.c",
    "a.c a.b a.c.b a.x.c",
  ),
  ...rows("#.a.#.b.#", "a.b x.a.y.b.z a.a.b.b b.a.b", "a b b.a x.y"),
  // Both, side by side.
  ...rows("*.#", "a a.b a.b.c", ""),
  ...rows("#.*", "a a.b a.b.c", ""),
  ...rows("task.*.#", "task.created task.assigned.reader", "task"),
  ...rows("task.#.*", "task.created task.assigned.reader", "task"),
  ...rows("#.*.*", "a.b a.b.c", "a"),
  ...rows("#.*.error", "agent.error a.b.error", "error error.a"),
  ...rows("*.#.*", "a.b a.b.c", "a"),
  ...rows("#.#", "a a.b", ""),
  ...rows("a.*.#.d", "a.b.d a.b.c.d", "a.d a.d.x b.c.d"),
  // Wildcards do not see inside a word, and other characters have no meaning of their own.
  ...rows("agent.heart-beat", "agent.heart-beat", "agent.heartbeat agent.heart_beat"),
  ...rows("a+.b", "a+.b", "aa.b a.b"),
  ...rows("a.>", "a.>", "a.b a.b.c"),
  ...rows("größe.*", "größe.neu", "grosse.neu größe"),
  ...rows("constructor.*", "constructor.__proto__", "constructor toString.x"),
];
