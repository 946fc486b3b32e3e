/** Several requests as the parameters of one call of `commit_batch`, and its answer taken apart. */
import { CadreError } from "../../core/errors.ts";
import { inboxConflict, versionConflict } from "../../store/conflict.ts";
import { appendParameters } from "./append-function.ts";
import { plainArray, textArray } from "./array-literal.ts";
import type { Parameter } from "./client.ts";
import { commitParameters, type CommitParameter } from "./commit-function.ts";
import type { CommitNews } from "./commit-news.ts";
import { eventArrays } from "./event-arrays.ts";
import { packId, type EncodedEvent } from "./event-rows.ts";
import { toStoredText } from "./stored-text.ts";
import { eventsOf, type WriteOutcome, type WriteRequest } from "./write-request.ts";

/** What `commit_batch` answers. Requests and their parts are numbered from 1. */
interface Answer {
  readonly base: number;
  readonly head: number;
  readonly at: number;
  readonly starts: readonly number[];
  readonly failed: readonly (readonly [number, string, ...(number | string)[]])[];
}

interface Placed {
  readonly request: WriteRequest;
  /** Places of its first event and append in the batch, from 0. */
  readonly firstEvent: number;
  readonly firstAppend: number;
  readonly eventCount: number;
}

/** Numbers names in the order in which they come first, from 1. */
class Names {
  readonly list: string[] = [];
  readonly #numbers = new Map<string, number>();

  number(name: string): number {
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.list.push(name);
      this.#numbers.set(name, number);
    }
    return number;
  }
}

export class CommitBatch {
  readonly #placed: Placed[] = [];
  readonly #ids = new Set<string>();
  readonly #marks = new Set<string>();
  readonly #events: EncodedEvent[] = [];
  readonly #flags: number[] = [];
  readonly #eventRequests: number[] = [];
  readonly #eventAppends: number[] = [];
  readonly #eventIndexes: number[] = [];
  readonly #streams = new Names();
  readonly #appends = { requests: [] as number[], streams: [] as number[] };
  readonly #appendTerms = { expected: [] as number[], counts: [] as number[] };
  readonly #slots = new Names();
  readonly #writes = { requests: [] as number[], slots: [] as number[], expected: [] as number[] };
  readonly #values: (string | null)[] = [];
  readonly #inbox = { requests: [] as number[], names: [] as string[], events: [] as string[] };
  readonly #removals = { requests: [] as number[], positions: [] as number[] };
  readonly #guards = { requests: [] as number[], texts: [] as string[] };
  /** Whether a request is in it that no event's id would recognise if it came again. */
  mustRemember = false;

  /**
   * Takes a request in, unless an id or a mark of it is in the batch already: then its answer
   * depends on another request's, and it must wait for the next batch.
   */
  add(request: WriteRequest): boolean {
    const events = eventsOf(request);
    const marks = request.inbox.map(({ subscription, eventId }) =>
      JSON.stringify([subscription, eventId]),
    );
    if (events.some(({ id }) => this.#ids.has(id))) return false;
    if (marks.some((mark) => this.#marks.has(mark))) return false;
    for (const { id } of events) this.#ids.add(id);
    for (const mark of marks) this.#marks.add(mark);
    this.#placed.push({
      request,
      firstEvent: this.#events.length,
      firstAppend: this.#appends.requests.length,
      eventCount: events.length,
    });
    this.#addEvents(request, this.#placed.length);
    this.#addRest(request, this.#placed.length);
    this.mustRemember ||= events.length === 0 || request.guard !== undefined;
    return true;
  }

  get size(): number {
    return this.#placed.length;
  }

  get events(): number {
    return this.#events.length;
  }

  /** @param memory who asks and which of its batches this is, if the answer must be kept */
  parameters(durable: boolean, memory?: { writer: string; batch: number }): readonly Parameter[] {
    const values: Partial<Record<CommitParameter, Parameter>> = {
      writer: memory?.writer ?? null,
      batch: memory?.batch ?? null,
      durable,
      requests: this.#placed.length,
      ...this.#eventParameters(),
      ...this.#restParameters(),
    };
    return commitParameters.map(([name]) => values[name] ?? null);
  }

  /** Whether it is nothing but events that belong to no stream. */
  get isPlain(): boolean {
    return (
      this.#events.length > 0 &&
      !this.mustRemember &&
      this.#appends.requests.length === 0 &&
      this.#values.length === 0 &&
      this.#inbox.requests.length === 0 &&
      this.#removals.requests.length === 0
    );
  }

  /** The same events for `append_events`; only of a plain batch. */
  appendParameters(durable: boolean): readonly Parameter[] {
    const values: Partial<Record<CommitParameter, Parameter>> = {
      durable,
      ...eventArrays(this.#events),
      flags: this.#flagsParameter(),
    };
    return appendParameters.map((name) => values[name] ?? null);
  }

  /** Of what those are told who wait, when the batch has been written. */
  news(text: string): CommitNews {
    const { base } = JSON.parse(text) as Answer; // made by our own function
    const types = new Set<string>();
    for (const [index, { event }] of this.#events.entries()) {
      if (this.#flags[index] === 0) types.add(event.type);
    }
    return { position: Math.max(0, base + this.#events.length - 1), types };
  }

  /** What each request is told, in their order: its outcome, or the error that refuses it. */
  outcomes(text: string): readonly (WriteOutcome | CadreError)[] {
    const answer = JSON.parse(text) as Answer; // made by our own function
    const failed = new Map(answer.failed.map((failure) => [failure[0], failure]));
    let head = answer.head;
    return this.#placed.map((placed, index): WriteOutcome | CadreError => {
      const failure = failed.get(index + 1);
      if (failure) return this.#failure(failure);
      const { request, firstEvent, firstAppend, eventCount } = placed;
      if (eventCount > 0) head = answer.base + firstEvent + eventCount - 1;
      const firstLoose = answer.base + firstEvent + eventCount - request.loose.length;
      return {
        kind: "written",
        positions: request.loose.map((_, place) => firstLoose + place),
        versions: request.appends.map(
          ({ events }, place) => answer.starts[firstAppend + place]! + events.length,
        ),
        position: head,
        at: answer.at,
      };
    });
  }

  #failure(failure: Answer["failed"][number]): WriteOutcome | CadreError {
    const [no, kind, ...rest] = failure;
    const place = Number(rest[0]) - 1;
    const actual = Number(rest[1]);
    switch (kind) {
      case "known":
        return { kind: "known" };
      case "guard":
        return { kind: "guarded", verdict: String(rest[0]) };
      case "stream": {
        const name = this.#streams.list[this.#appends.streams[place]! - 1]!;
        return versionConflict(name, this.#appendTerms.expected[place]!, actual);
      }
      case "slot": {
        const name = this.#slots.list[this.#writes.slots[place]! - 1]!;
        return versionConflict(name, this.#writes.expected[place]!, actual);
      }
      case "mark": {
        const { request } = this.#placed[no - 1]!;
        const first = this.#inbox.requests.indexOf(no);
        return inboxConflict(request.inbox[place - first]!);
      }
      default:
        return new CadreError("INTERNAL", `commit_batch answered "${kind}".`, { what: kind });
    }
  }

  #addEvents(request: WriteRequest, no: number): void {
    for (const append of request.appends) {
      const { requests, streams } = this.#appends;
      requests.push(no);
      streams.push(this.#streams.number(append.stream));
      const { expectedVersion } = append;
      this.#appendTerms.expected.push(expectedVersion === "any" ? -1 : expectedVersion);
      this.#appendTerms.counts.push(append.events.length);
      let index = 0;
      for (const event of append.events) {
        this.#addEvent(event, append.flags, [no, requests.length, (index += 1)]);
      }
    }
    for (const event of request.loose) this.#addEvent(event, request.looseFlags ?? 0, [no, 0, 0]);
  }

  #addEvent(event: EncodedEvent, flags: number, place: readonly [number, number, number]): void {
    this.#events.push(event);
    this.#flags.push(flags);
    this.#eventRequests.push(place[0]);
    this.#eventAppends.push(place[1]);
    this.#eventIndexes.push(place[2]);
  }

  #addRest(request: WriteRequest, no: number): void {
    for (const { name, expectedVersion, value } of request.slots) {
      this.#writes.requests.push(no);
      this.#writes.slots.push(this.#slots.number(name));
      this.#writes.expected.push(expectedVersion === "any" ? -1 : expectedVersion);
      this.#values.push(value === undefined ? null : toStoredText(value));
    }
    for (const { subscription, eventId } of request.inbox) {
      this.#inbox.requests.push(no);
      this.#inbox.names.push(toStoredText(subscription));
      this.#inbox.events.push(packId(eventId));
    }
    for (const position of request.removals) {
      this.#removals.requests.push(no);
      this.#removals.positions.push(position);
    }
    if (request.guard !== undefined) {
      this.#guards.requests.push(no);
      this.#guards.texts.push(toStoredText(request.guard));
    }
  }

  #flagsParameter(): Parameter {
    if (!this.#flags.some(Boolean)) return null;
    return plainArray(this.#flags.map((flags) => (flags === 0 ? null : flags)));
  }

  #eventParameters(): Partial<Record<CommitParameter, Parameter>> {
    const events = this.#events;
    if (events.length === 0) return {};
    return {
      ...eventArrays(events),
      flags: this.#flagsParameter(),
      event_requests: plainArray(this.#eventRequests),
      ...(this.#appends.requests.length === 0
        ? {}
        : {
            event_appends: plainArray(this.#eventAppends),
            event_indexes: plainArray(this.#eventIndexes),
          }),
    };
  }

  #restParameters(): Partial<Record<CommitParameter, Parameter>> {
    const values: Partial<Record<CommitParameter, Parameter>> = {};
    if (this.#appends.requests.length > 0) {
      values.streams = textArray(this.#streams.list.map(toStoredText));
      values.append_requests = plainArray(this.#appends.requests);
      values.append_streams = plainArray(this.#appends.streams);
      values.append_expected = plainArray(this.#appendTerms.expected);
      values.append_counts = plainArray(this.#appendTerms.counts);
    }
    if (this.#values.length > 0) {
      values.slots = textArray(this.#slots.list.map(toStoredText));
      values.write_requests = plainArray(this.#writes.requests);
      values.write_slots = plainArray(this.#writes.slots);
      values.write_expected = plainArray(this.#writes.expected);
      values.write_values = textArray(this.#values);
    }
    if (this.#inbox.requests.length > 0) {
      values.mark_requests = plainArray(this.#inbox.requests);
      values.mark_subscriptions = textArray(this.#inbox.names);
      values.mark_events = plainArray(this.#inbox.events);
    }
    if (this.#removals.requests.length > 0) {
      values.removal_requests = plainArray(this.#removals.requests);
      values.removals = plainArray(this.#removals.positions);
    }
    if (this.#guards.requests.length > 0) {
      values.guard_requests = plainArray(this.#guards.requests);
      values.guards = textArray(this.#guards.texts);
    }
    return values;
  }
}
