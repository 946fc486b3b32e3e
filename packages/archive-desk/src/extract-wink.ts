import { createRequire } from "node:module";
import model from "wink-eng-lite-web-model";
import winkNLP from "wink-nlp";
import { acronyms, bodyNouns, genericNouns, landNouns } from "./word-lists.ts";
import { loadGazetteer } from "./gazetteer.ts";
import type { Gazetteer } from "./gazetteer.ts";
import { hasTitle, mentionAt, withoutOverlaps } from "./mention.ts";
import type { EntityKind, Extractor, Mention } from "./mention.ts";
import type { Span } from "./sentence.ts";

interface Token extends Span {
  readonly text: string;
  readonly proper: boolean;
}

const rules = 2; // raise it with every change that alters what is found
const longestRun = 8; // tokens; longer runs of capitals are headings

const body = bodyNouns.join("|");
const land = landNouns.join("|");
const bodyEnd = new RegExp(`(?:^|\\s)(?:${body})$`);
const bodyOf = new RegExp(`^(?:\\w+ )*(?:${body}|Daughters|Knights|Sons) (?:of|for|on) `);
const landEnd = new RegExp(`\\S\\s(?:${land})$`);
const landOf = new RegExp(
  `^(?:(?:${land}|Port|Bight|Republic|Kingdom|Empire|State|Commonwealth|District) of|` +
    "Fort|Port|Lake|Cape|Mount|Isle|Gulf|Bay of|San|Santa|Rio|Saint|St\\.|Point) (?:the )?\\p{Lu}",
  "u",
);
const joinsOf = new RegExp(
  `^(?:${body}|${land}|Republic|Kingdom|Empire|District|Commonwealth|Daughters|Knights)$`,
);
const bare = new RegExp(`^(?:${body}|${land}|Supreme|Federal|National)$`);
const acronym = new Set(acronyms);
const generic = new Set(genericNouns);

/**
 * Finds runs of proper nouns with wink-nlp's tagger and sorts them by lists of places and given
 * names and by their words.
 */
export function createWinkExtractor(): Extractor {
  const require = createRequire(import.meta.url);
  const { version }: { version: string } = require("wink-nlp/package.json");
  const nlp = winkNLP(model, ["pos"]);
  const { its } = nlp;
  const gazetteer = loadGazetteer();
  return {
    name: "wink-nlp",
    version: `${version}+${rules}`,
    extract(text) {
      const document = nlp.readDoc(apart(text));
      const words = document.tokens().out();
      // oxlint-disable-next-line typescript/unbound-method -- only names a field
      const tags = document.tokens().out(its.pos);
      const runs = properRuns(place(text, words, tags));
      return mentionsOf(text, runs, gazetteer);
    },
  };
}

// The tagger remembers tokens. Whether it takes "President's" for one word or two depends on what
// it has read before; set apart, it always takes two, and a text has the same names in every order.
const possessive = /(?=['’]s\b)/gi;

function apart(text: string): string {
  return text.replace(possessive, " ");
}

function place(text: string, words: readonly string[], tags: readonly unknown[]): Token[] {
  let cursor = 0;
  return words.flatMap((word, index) => {
    const start = text.indexOf(word, cursor);
    if (start < 0) return [];
    cursor = start + word.length;
    const proper = tags[index] === "PROPN" && /^\p{Lu}/u.test(word);
    return [{ start, end: cursor, text: word, proper }];
  });
}

/**
 * Proper nouns side by side, and over "of (the)" where the first word asks for it: Bank of the
 * United States.
 */
function properRuns(tokens: readonly Token[]): Token[][] {
  const runs: Token[][] = [];
  let index = 0;
  while (index < tokens.length) {
    const run: Token[] = [];
    while (index < tokens.length && run.length < longestRun) {
      const token = tokens[index];
      if (token === undefined) break;
      if (token.proper && isNear(run, token)) {
        run.push(token);
        index += 1;
        continue;
      }
      const joint = run.length === 0 ? [] : jointAt(tokens, index, run.at(-1));
      if (joint.length === 0) break;
      run.push(...joint);
      index += joint.length;
    }
    if (run.length > 0) runs.push(run);
    else index += 1;
  }
  return runs;
}

function isNear(run: readonly Token[], token: Token): boolean {
  const last = run.at(-1);
  if (last === undefined) return true;
  return token.start - last.end <= 1 && !/^(?:Mr|Mrs|Messrs|Dr)\.?$/.test(token.text);
}

function jointAt(tokens: readonly Token[], index: number, last: Token | undefined): Token[] {
  const first = tokens[index];
  if (first === undefined || last === undefined) return [];
  // "U. S. Grant": the tagger keeps the full stop apart.
  if (first.text === "." && last.text.length === 1 && tokens[index + 1]?.proper === true) {
    return first.start === last.end ? [first] : [];
  }
  if (first.text !== "of" || !joinsOf.test(last.text)) return [];
  const second = tokens[index + 1];
  if (second?.proper === true) return [first];
  return second?.text === "the" && tokens[index + 2]?.proper === true ? [first, second] : [];
}

function mentionsOf(
  text: string,
  runs: readonly (readonly Token[])[],
  gazetteer: Gazetteer,
): Mention[] {
  const found: Mention[] = [];
  const undecided: Mention[] = [];
  for (const run of runs) {
    const start = run[0]?.start ?? 0;
    const mention = mentionAt(text, { start, end: run.at(-1)?.end ?? start }, "place");
    if (mention === undefined) continue;
    const kind = classify(text, mention, gazetteer);
    const kept = kind === undefined ? undefined : mentionAt(text, mention, kind);
    if (kept === undefined) undecided.push(mention);
    else found.push(kept);
  }
  return withoutOverlaps([...found, ...surnamesOf(found, undecided)]);
}

/** "Lincoln" alone is a person where the same text has said "Abraham Lincoln". */
function surnamesOf(found: readonly Mention[], undecided: readonly Mention[]): Mention[] {
  const surnames = new Set(
    found.flatMap((mention) => {
      const words = mention.name.split(" ");
      return mention.kind === "person" && words.length > 1 ? [words.at(-1)] : [];
    }),
  );
  return undecided.flatMap((mention) => {
    if (!surnames.has(mention.name)) return [];
    return [{ ...mention, kind: "person" as const }];
  });
}

function classify(text: string, mention: Mention, gazetteer: Gazetteer): EntityKind | undefined {
  const { name } = mention;
  const words = name.split(" ");
  const [first = "", second = ""] = words;
  const last = words.at(-1) ?? "";
  if (generic.has(name)) return undefined;
  if (hasTitle(text, mention) && words.every((word) => !generic.has(word)) && !bodyEnd.test(name)) {
    return name.includes(" of ") || gazetteer.isPlace(name) ? undefined : "person";
  }
  if (name === "Santa Anna") return "person";
  if (gazetteer.isPlace(name) || name === "United States") return "place";
  if (acronym.has(name)) return "organisation";
  if (words.length > 1 && (bodyEnd.test(name) || bodyOf.test(name))) return "organisation";
  if (name === "Congress" || name === "Senate" || name === "House of Representatives") {
    return "organisation";
  }
  if (bare.test(name)) return undefined;
  if (landEnd.test(name) || landOf.test(name)) return "place";
  if (words.length < 2 || words.length > 4 || generic.has(last) || /\d|&/.test(name))
    return undefined;
  const initials = /^(?:\p{Lu}\.? )+\p{Lu}\p{L}{2,}$/u.test(name);
  if (initials) return "person";
  const given = gazetteer.isGivenName(first) && !gazetteer.isPlace(first);
  return given && !generic.has(second) && !gazetteer.isPlace(last) ? "person" : undefined;
}
