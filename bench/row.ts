/** What a row of the table is made of. Each file in `rows/` exports one. */

/** What one round measured, by name. */
export type Figures = Readonly<Record<string, number>>;

/** A contender that is set up and ready. A round that finds its own work wrong throws. */
export interface Running {
  round(): Promise<Figures> | Figures;
  close?(): Promise<void> | void;
}

export interface Contender {
  /** The package that it measures; without it in `node_modules` the contender is left out. */
  readonly needs?: string;
  /** The program that it needs on the path. */
  readonly program?: string;
  readonly scenarios: readonly string[];
  start(scenario: string): Promise<Running> | Running;
}

/** Contender, scenario and figure. */
export type Place = readonly [contender: string, scenario: string, figure: string];

/** A ratio of two figures of one run, or with `over` left out a figure itself. */
export interface Goal {
  readonly what: string;
  readonly of: Place;
  readonly over?: Place;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** What all contenders of a row share while it runs. */
export interface Served {
  /** Variables that tell the contenders where it is. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export interface Row {
  readonly title: string;
  /** Starts what they share. A text says why that cannot be, and the row is left out. */
  readonly serve?: () => Promise<Served | string>;
  /** Rounds are this often repeated less where one takes long. @default 1 */
  readonly contenders: Readonly<Record<string, Contender>>;
  readonly goals: readonly Goal[];
}

/** Refuses a round whose work was not what it had to be. */
export function check(what: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found} instead of ${expected}`);
}

export async function perSecond(count: number, work: () => Promise<void> | void): Promise<number> {
  const start = performance.now();
  await work();
  return (count * 1_000) / (performance.now() - start);
}

/** The value below which `share` of the values lie. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
