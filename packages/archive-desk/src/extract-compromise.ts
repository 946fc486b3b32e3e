import nlp from "compromise";
import { mentionAt, withoutOverlaps } from "./mention.ts";
import type { EntityKind, Extractor, Mention } from "./mention.ts";
import { splitSentences } from "./sentence.ts";
import { notNames } from "./word-lists.ts";

interface Found {
  readonly offset?: { readonly start: number; readonly length: number };
}

interface View {
  json(options: { offset: true }): Found[];
}

// Names on which compromise is wrong again and again, and what they are.
const corrections: ReadonlyMap<string, EntityKind> = new Map([
  ["United States", "place"],
  ["Soviet Union", "place"],
  ["San Domingo", "place"],
  ["Santo Domingo", "place"],
  ["Vera Cruz", "place"],
  ["Hague", "place"],
  ["Alaska", "place"],
  ["Chad", "place"],
  ["Jordan", "place"],
  ["Santiago", "place"],
  ["Salvador", "place"],
  ["Virginia", "place"],
  ["Pearl Harbor", "place"],
  ["West Bank", "place"],
  ["House of Representatives", "organisation"],
]);

const rules = 1; // raise it with every change that alters what is found

// compromise reads some 110,000 characters a second, nearly all of it tagging. A sentence whose
// only capital is its
// first letter (or "I") seldom has a name; leaving these out saves a third of the time. A name
// that stands
// alone at the start of such a sentence is missed here, and the second extractor doesn't skip it.
const capitalInside = /\S\s+["'“‘(]*(?!I\b)\p{Lu}/u;

const nameless = new Set(notNames);
const law = /\b(?:Act|Bill|Grant|Care)$/;

/** Finds people, places and organisations with compromise's tagger and its own word lists. */
export function createCompromiseExtractor(): Extractor {
  return {
    name: "compromise",
    version: `${nlp.version}+${rules}`,
    extract(text) {
      const found = splitSentences(text).flatMap(({ start, end }) => {
        const sentence = text.slice(start, end);
        return capitalInside.test(sentence) ? sentenceMentions(text, start, sentence) : [];
      });
      return withoutOverlaps(found);
    },
  };
}

function sentenceMentions(text: string, offset: number, sentence: string): Mention[] {
  const doc = nlp(sentence);
  return [
    ...mentionsOf(text, offset, "person", doc.people()),
    ...mentionsOf(text, offset, "place", doc.places()),
    ...mentionsOf(text, offset, "organisation", doc.organizations()),
  ];
}

function mentionsOf(text: string, offset: number, kind: EntityKind, view: View): Mention[] {
  return view.json({ offset: true }).flatMap((found) => {
    if (found.offset === undefined) return [];
    const start = offset + found.offset.start;
    const mention = mentionAt(text, { start, end: start + found.offset.length }, kind);
    if (mention === undefined || nameless.has(mention.name) || law.test(mention.name)) return [];
    return [{ ...mention, kind: corrections.get(mention.name) ?? kind }];
  });
}
