/**
 * What one run of an agent works with. Most of ten thousand agents are idle: each part is made when
 * it is needed first.
 */
import { AgentListener } from "../agent-listener.ts";
import type { AgentState } from "../agent-state.ts";
import { TaskWorker } from "../task-worker.ts";
import type { TeamContext } from "../team-context.ts";
import { CapabilityBreakers } from "./capability-breakers.ts";
import type { RunningAgent, RunningAgentPort } from "./running-agent.ts";

export class AgentRun {
  readonly state: AgentState<unknown>;
  readonly listener: AgentListener | undefined;
  readonly #port: RunningAgentPort;
  readonly #agent: RunningAgent;
  readonly #context: TeamContext;
  #breakers: CapabilityBreakers | undefined;
  #worker: TaskWorker | undefined;

  /** @param before the run whose knowledge of the agent's state goes on */
  constructor(
    port: RunningAgentPort,
    agent: RunningAgent,
    context: TeamContext,
    before: AgentRun | undefined,
  ) {
    const { definition } = agent;
    const { registry, desk, progress } = port;
    this.#port = port;
    this.#agent = agent;
    this.#context = context;
    this.state = before?.state ?? port.stateOf(definition);
    if (definition.events.length === 0) return;
    const { state } = this;
    this.listener = new AgentListener({
      context,
      registry,
      agent: definition,
      state,
      desk,
      progress,
    });
  }

  /** Capabilities that failed too often. */
  get broken(): readonly string[] {
    return this.#breakers?.broken ?? [];
  }

  /** Tasks that wait without a slot. */
  get waiting(): number {
    return this.#worker?.waiting ?? 0;
  }

  get hasRoom(): boolean {
    return this.#worker?.hasRoom ?? true;
  }

  get worker(): TaskWorker {
    return (this.#worker ??= this.#makeWorker());
  }

  /** Nothing new; resolves when what runs has ended, or has been given back at the deadline. */
  async stop(
    deadlineMs: number,
  ): Promise<{ readonly finished: number; readonly released: number }> {
    const [drained] = await Promise.all([
      this.#worker?.drain(deadlineMs),
      this.listener?.close(deadlineMs),
    ]);
    this.#breakers?.close();
    return drained ?? { finished: 0, released: 0 };
  }

  #makeWorker(): TaskWorker {
    const { progress } = this.#port;
    const agent = this.#agent;
    const { definition, name } = agent;
    return new TaskWorker({
      ...this.#port,
      agent: definition,
      state: this.state,
      context: this.#context,
      breakers: (this.#breakers = this.#makeBreakers()),
      isActive: () => agent.state === "running",
      begin: (taskId, isWaiting) =>
        progress.begin({ agent: name, what: `task ${taskId}`, taskId }, isWaiting),
      onChange: () => {
        agent.changed();
        this.#port.onBusy(agent);
      },
      onFree: () => this.#port.onRoom(agent),
    });
  }

  #makeBreakers(): CapabilityBreakers {
    return new CapabilityBreakers({
      context: this.#context,
      agent: this.#agent.name,
      options: this.#port.breaker,
      onChange: () => {
        this.#agent.changed();
        this.worker.fill();
      },
    });
  }
}
