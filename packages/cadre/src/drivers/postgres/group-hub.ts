/**
 * One group as this connection serves it: whose pulls wait, and when to ask the server again.
 *
 *   pull ─▶ waiting ─▶ claim, one statement for all who wait ─▶ leases
 *              ▲            │ nothing       ▲
 *              │            ▼               │ a settling, a due time, the poll
 *              └────────── idle ────────────┤
 *                           └── a commit ───┘ of an event that matches
 *
 * A notification only wakes; the poll finds whatever there is, told or not.
 */
import type { Pull, PullHub } from "../../bus/hub-intake.ts";
import type { Lease } from "../../bus/transport.ts";
import { compilePattern } from "../../core/pattern.ts";
import { claim, type Claim } from "./claim.ts";
import { isNewTo, type CommitNews } from "./commit-news.ts";
import type { Connection } from "./connection.ts";
import { GroupLease } from "./group-lease.ts";
import type { GroupPoll } from "./group-poll.ts";
import type { Group } from "./group-table.ts";
import type { KnownMarks } from "./known-marks.ts";
import type { LogTail } from "./log-tail.ts";
import type { SettleDesk } from "./settle-desk.ts";
import type { WakeIntake } from "./wake-intake.ts";

/** What the groups of one connection share. */
export interface HubParts {
  readonly connection: Connection;
  readonly desk: SettleDesk;
  /** This connection's number among the owners of leases. */
  readonly owner: number;
  /** A number that no claim of this connection has had. */
  readonly nextToken: () => number;
  readonly wake: WakeIntake;
  readonly tail: LogTail;
  readonly poll: GroupPoll;
  readonly marks: KnownMarks;
}

const maxClaim = 512; // deliveries in one statement
const soonMs = 10; // before asking again for what is due and was locked

export class GroupHub implements PullHub {
  readonly group: Group;
  readonly #parts: HubParts;
  readonly #waiting = new Set<Pull>();
  readonly #matchers: readonly ((type: string) => boolean)[];
  /** Set while nothing waits for a claim, as far as is known: so far in the log. */
  #idleAt: number | undefined;
  /** What was committed during the claim under way, which may not have seen it: so far. */
  #told = 0;
  /** Whether the last claim brought something: the next is likely to. */
  #isBusy = false;
  #pumping = false;
  #serving: Promise<void> | undefined;
  #pumpAgain = false;
  #looking = false;
  #lookAgain = false;
  #cancelTimer: (() => void) | undefined;
  #endPoll: (() => void) | undefined;
  #endListening: (() => void) | undefined;

  constructor(parts: HubParts, group: Group, patterns: readonly string[]) {
    this.#parts = parts;
    this.group = group;
    this.#matchers = patterns.map((pattern) => compilePattern(pattern));
  }

  add(pull: Pull): void {
    this.#waiting.add(pull);
    this.#endListening ??= this.#parts.wake.listen((news) => this.#onCommit(news), {
      group: this.group.no,
      wake: () => this.#pump(),
    });
    this.#pump();
  }

  /** The pull was aborted, or its intake closed. */
  remove(pull: Pull): void {
    this.#end(pull, []);
  }

  /** Ends all pulls that wait. Resolves when what was claimed for them is given back. */
  async close(): Promise<void> {
    this.#endAll();
    await this.#serving;
  }

  #endAll(): void {
    for (const pull of this.#waiting) this.remove(pull);
  }

  /**
   * Of another connection's commit it looks first whether it was an event for the group; the others
   * look at the same page.
   */
  #onCommit(news: CommitNews): void {
    const at = this.#idleAt ?? 0;
    if (!isNewTo(news, at, (type) => this.#matches(type))) return;
    if (this.#idleAt === undefined) {
      this.#told = Math.max(this.#told, news.position ?? Infinity);
      return;
    }
    if (news.types || this.#isBusy) return this.#pump();
    this.#lookAgain = true; // what the look under way has seen may be older than this commit
    if (this.#looking) return;
    this.#looking = true;
    this.#isNew().then(
      (isNew) => {
        this.#looking = false;
        if (isNew && this.#waiting.size > 0) this.#pump();
      },
      () => {
        this.#looking = false; // the poll comes all the same, and says what is wrong
      },
    );
  }

  async #isNew(): Promise<boolean> {
    while (this.#idleAt !== undefined) {
      this.#lookAgain = false;
      const { rows } = await this.#parts.tail.page(this.#idleAt);
      const last = rows.at(-1);
      if (!last) {
        if (this.#lookAgain) continue;
        return false;
      }
      if (rows.some(({ type, isPublic }) => isPublic && this.#matches(type))) return true;
      if (this.#idleAt !== undefined) this.#idleAt = Math.max(this.#idleAt, last.position);
    }
    return true;
  }

  #matches(type: string): boolean {
    return this.#matchers.some((matches) => matches(type));
  }

  #pump(): void {
    this.#idleAt = undefined;
    if (this.#pumping) {
      this.#pumpAgain = true;
      return;
    }
    this.#pumping = true;
    this.#serving = this.#serve().then(
      () => {
        this.#pumping = false;
        // Somebody may have come while the loop was ending.
        if (this.#pumpAgain) this.#pump();
      },
      (error: unknown) => {
        this.#pumping = false;
        for (const pull of this.#waiting) {
          this.#forget(pull);
          pull.reject(error);
        }
      },
    );
  }

  async #serve(): Promise<void> {
    // Who pulls in the same turn is served by the same statement.
    await Promise.resolve();
    do {
      this.#pumpAgain = false;
      this.#disarm();
      const pulls = this.#pullsOfOneLease();
      if (pulls.length === 0) return;
      this.#told = 0;
      const answer = await this.#claim(pulls);
      this.#isBusy = answer !== undefined && answer.claimed.length > 0;
      if (!answer) this.#endAll();
      else if (await this.#handOut(answer, pulls)) this.#pumpAgain = true;
      else if (this.#told > answer.reached) this.#pumpAgain = true;
      else if (!this.#pumpAgain) this.#idle(answer);
    } while (this.#pumpAgain);
  }

  #pullsOfOneLease(): readonly Pull[] {
    const pulls = [...this.#waiting];
    return pulls.filter(({ leaseMs }) => leaseMs === pulls[0]!.leaseMs);
  }

  #claim(pulls: readonly Pull[]): Promise<Claim | undefined> {
    const { connection, owner, nextToken } = this.#parts;
    const asked = pulls.reduce((sum, { max }) => sum + max, 0);
    const max = Math.min(maxClaim, asked);
    const { leaseMs } = pulls[0]!;
    return claim(connection, { group: this.group.no, max, leaseMs, owner, token: nextToken() });
  }

  /** Whether there may be more for those who wait. */
  async #handOut(answer: Claim, pulls: readonly Pull[]): Promise<boolean> {
    this.#parts.marks.add(this.group.name, answer.claimed);
    const leases = answer.claimed.map(
      (claimed) => new GroupLease(this.group, this.#parts.desk, claimed),
    );
    for (const pull of pulls) {
      if (leases.length === 0) break;
      if (this.#waiting.has(pull)) this.#end(pull, leases.splice(0, pull.max));
    }
    // Those whose pull has been aborted meanwhile.
    await Promise.all(leases.map((lease) => lease.settle({ kind: "release" })));
    // What is not there for these is not there for those of another lease length either.
    return answer.claimed.length > 0 || answer.more;
  }

  #end(pull: Pull, leases: readonly Lease[]): void {
    this.#forget(pull);
    pull.resolve(leases);
  }

  #forget(pull: Pull): void {
    this.#waiting.delete(pull);
    if (this.#waiting.size > 0) return;
    this.#endListening?.();
    this.#endListening = undefined;
    this.#disarm();
  }

  /** Comes back when time alone brings something, and in any case looks after a while. */
  #idle({ nextInMs, reached }: Claim): void {
    if (this.#waiting.size === 0) return;
    this.#idleAt = reached;
    const { clock, pollMs } = this.#parts.connection.settings;
    const pump = (): void => this.#pump();
    this.#endPoll = this.#parts.poll.add(this.group.no, pump);
    if (nextInMs < pollMs) this.#cancelTimer = clock.after(Math.max(soonMs, nextInMs), pump);
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#endPoll?.();
    this.#endPoll = undefined;
  }
}
