/** How agents are improved: variants are proposed, tried and taken over, or not. */
import {
  anyJson,
  fact,
  map,
  number,
  optional,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

export interface EvolutionStarted {
  readonly evolutionId: string;
  readonly agent?: string;
  readonly goal?: string;
}

export interface EvolutionVariant {
  readonly evolutionId: string;
  readonly variantId: string;
  readonly parent?: string;
  /** What is different. */
  readonly change?: unknown;
}

export interface EvolutionEvaluated {
  readonly evolutionId: string;
  readonly variantId: string;
  readonly fitness?: number;
  readonly measures?: Readonly<Record<string, number>>;
}

export interface EvolutionDecided {
  readonly evolutionId: string;
  readonly variantId: string;
  readonly agent?: string;
  readonly reason?: string;
}

export interface EvolutionCompleted {
  readonly evolutionId: string;
  readonly best?: string;
  readonly fitness?: number;
}

export type EvolutionEvents = {
  "evolution.started": EvolutionStarted;
  "evolution.variant.created": EvolutionVariant;
  "evolution.variant.evaluated": EvolutionEvaluated;
  "evolution.variant.promoted": EvolutionDecided;
  "evolution.variant.rolled_back": EvolutionDecided;
  "evolution.completed": EvolutionCompleted;
};

const decided = {
  evolutionId: word,
  variantId: word,
  agent: optional(word),
  reason: optional(text),
};

export const evolutionEvents: BuiltinFamily<EvolutionEvents> = {
  "evolution.started": fact("A search for a better variant has begun.", {
    evolutionId: word,
    agent: optional(word),
    goal: optional(text),
  }),
  "evolution.variant.created": fact("There is a new variant to try.", {
    evolutionId: word,
    variantId: word,
    parent: optional(word),
    change: optional(anyJson),
  }),
  "evolution.variant.evaluated": fact("A variant was measured.", {
    evolutionId: word,
    variantId: word,
    fitness: optional(number),
    measures: optional(map(number)),
  }),
  "evolution.variant.promoted": fact("A variant takes over.", decided),
  "evolution.variant.rolled_back": fact("A variant was taken back.", decided),
  "evolution.completed": fact("The search has ended.", {
    evolutionId: word,
    best: optional(word),
    fitness: optional(number),
  }),
};
