/** Beta distributions: what is known of a share that was only seen through verdicts. */
import type { Random } from "../../core/random.ts";

/** Weights of the good verdicts and of the bad ones, the prior among them. */
export interface Beta {
  readonly alpha: number;
  readonly beta: number;
}

export function meanOf({ alpha, beta }: Beta): number {
  return alpha / (alpha + beta);
}

/** One draw: the better known it is, the closer to its mean. */
export function drawBeta({ alpha, beta }: Beta, random: Random): number {
  const good = drawGamma(alpha, random);
  const bad = drawGamma(beta, random);
  return good + bad === 0 ? meanOf({ alpha, beta }) : good / (good + bad);
}

const maxTries = 1_000; // each one is taken with a probability of 95 in 100

/** Marsaglia and Tsang, "A simple method for generating gamma variables" (2000). */
function drawGamma(shape: number, random: Random): number {
  if (shape < 1) return drawGamma(shape + 1, random) * open(random) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (let tries = 0; tries < maxTries; tries += 1) {
    const x = drawNormal(random);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(open(random)) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
  return d;
}

/** Box and Muller. */
function drawNormal(random: Random): number {
  return Math.sqrt(-2 * Math.log(open(random))) * Math.cos(2 * Math.PI * random.next());
}

/** In (0, 1]: its logarithm is finite. */
function open(random: Random): number {
  return 1 - random.next();
}
