import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ConsumeSpec } from "cadre";
import type { HoldingConsumer } from "cadre/testing";
import type { FaultCarrier } from "./fault-carriers.ts";

const script = fileURLToPath(new URL("fault-member-process.ts", import.meta.url));

interface Message {
  readonly held?: number;
  readonly answers?: readonly string[];
}

/** A consumer in a process of its own, that can be frozen, too. */
export interface FaultMember extends HoldingConsumer {
  freeze(): void;
  /** Lets it run again, and settle all that it holds; resolves with the answers. */
  thawAndSettle(): Promise<readonly string[]>;
}

/** @param spec with `credit`, it takes so many and then no more */
export async function startFaultMember(
  carrier: FaultCarrier,
  port: number,
  spec: ConsumeSpec & { readonly credit?: number },
): Promise<FaultMember> {
  const child = fork(script, [carrier.name, String(port), JSON.stringify(spec)]);
  let held = 0;
  let tellAnswers: (answers: readonly string[]) => void = () => {};
  const answers = new Promise<readonly string[]>((resolve) => (tellAnswers = resolve));
  child.on("message", (message: Message) => {
    held = message.held ?? held;
    if (message.answers) tellAnswers(message.answers);
  });
  const ended = once(child, "exit");
  await Promise.race([
    once(child, "message"),
    ended.then(() => {
      throw new Error("The member ended before it was ready.");
    }),
  ]);
  return {
    held: async () => held,
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
    freeze: () => void child.kill("SIGSTOP"),
    thawAndSettle: () => {
      child.kill("SIGCONT");
      child.send("settle");
      return answers;
    },
  };
}
