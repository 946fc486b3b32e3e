/**
 * What the compiler knows of a registry: which types may be published with which payload, and which
 * events a pattern sees.
 *
 *   key of the map        types that it stands for       subscribe("task.#") sees
 *   task.created          task.created                   AgentEvent<"task.created", …>
 *   task.assigned.*       `task.assigned.${string}`      AgentEvent<`task.assigned.${string}`, …>
 *   agent.created         agent.created                  –
 *
 * An exact key wins over the families that its type also belongs to, as it does at run time.
 */
import type { AgentEvent } from "./event.ts";

/**
 * Payload types by event type, or by the topic pattern of a family of types; this one is of any
 * type. A map of your own may be an interface, which is why no type below asks for an index.
 */
export type EventMap = Readonly<Record<string, unknown>>;

type Words<Topic extends string> = Topic extends `${infer First}.${infer Rest}`
  ? [First, ...Words<Rest>]
  : [Topic];

/** Whether some topic is matched by both; each of the two may hold wildcards. */
type Meets<
  Left extends readonly string[],
  Right extends readonly string[],
> = Left extends readonly [
  infer LeftWord extends string,
  ...infer LeftRest extends readonly string[],
]
  ? LeftWord extends "#"
    ? MeetsMany<Left, LeftRest, Right>
    : Right extends readonly [
          infer RightWord extends string,
          ...infer RightRest extends readonly string[],
        ]
      ? RightWord extends "#"
        ? MeetsMany<Right, RightRest, Left>
        : WordsMeet<LeftWord, RightWord> extends true
          ? Meets<LeftRest, RightRest>
          : false
      : false
  : Right extends readonly []
    ? true
    : Right extends readonly ["#", ...infer RightRest extends readonly string[]]
      ? Meets<[], RightRest>
      : false;

/** `Many` begins with `#`, which takes no word of `Other`, or one and stays. */
type MeetsMany<
  Many extends readonly string[],
  Rest extends readonly string[],
  Other extends readonly string[],
> = Rest extends readonly []
  ? true
  : Meets<Rest, Other> extends true
    ? true
    : Other extends readonly [string, ...infer OtherRest extends readonly string[]]
      ? Meets<Many, OtherRest>
      : false;

/** A word that holds `${string}` (from a template with a name in it) may be any word. */
type WordsMeet<Left extends string, Right extends string> = Left extends "*"
  ? true
  : Right extends "*"
    ? true
    : Left extends Right
      ? true
      : Right extends Left
        ? true
        : false;

/** The types that a key stands for: itself, or the topics of its family. */
export type TopicsOf<Key extends string> = Key extends `${infer Before}.#`
  ? TopicsOf<Before> | `${TopicsOf<Before>}.${string}`
  : Key extends `${infer Before}#${infer After}`
    ? `${TopicsOf<Before>}${string}${TopicsOf<After>}`
    : Key extends `${infer Before}*${infer After}`
      ? `${Before}${string}${TopicsOf<After>}`
      : Key;

type HasWildcard<Pattern extends string> = Pattern extends `${string}${"*" | "#"}${string}`
  ? true
  : false;

type FamilyKey<Key extends string> = Key extends `${string}${"*" | "#"}${string}` ? Key : never;

/** The keys whose types the pattern can see. */
type KeysOf<Events extends object, Pattern extends string> = Pattern extends "#"
  ? keyof Events & string
  : Pattern extends keyof Events
    ? HasWildcard<Pattern> extends true
      ? MeetingKeys<keyof Events & string, Words<Pattern>>
      : Pattern
    : MeetingKeys<keyof Events & string, Words<Pattern>>;

type MeetingKeys<Key extends string, Pattern extends readonly string[]> = Key extends string
  ? Meets<Pattern, Words<Key>> extends true
    ? Key
    : never
  : never;

/** The types that may be published: every type that a key of the map stands for. */
export type EventType<Events extends object> = string extends keyof Events
  ? string
  : TopicsOf<keyof Events & string>;

/** The payload of one event type. */
export type PayloadOf<Events extends object, Type extends string> = string extends keyof Events
  ? Events[keyof Events]
  : Type extends keyof Events
    ? Events[Type]
    : {
        [Key in FamilyKey<keyof Events & string>]: Type extends TopicsOf<Key> ? Events[Key] : never;
      }[FamilyKey<keyof Events & string>];

/**
 * The type of an event seen through `Pattern`: a pattern without a wildcard names it more exactly
 * than a family's key.
 */
type SeenType<Key extends string, Pattern extends string> =
  HasWildcard<Pattern> extends true ? TopicsOf<Key> : HasWildcard<Key> extends true ? Pattern : Key;

/** The events of a map that the pattern matches, as a union that `event.type` narrows. */
export type EventOf<
  Events extends object,
  Pattern extends string = "#",
> = string extends keyof Events
  ? AgentEvent<string, Events[keyof Events]>
  : EventsSeen<Events, string extends Pattern ? "#" : Pattern>;

type EventsSeen<Events extends object, Pattern extends string> = Pattern extends string
  ? {
      readonly [Key in KeysOf<Events, Pattern>]: AgentEvent<SeenType<Key, Pattern>, Events[Key]>;
    }[KeysOf<Events, Pattern>]
  : never;

/**
 * The pattern itself, if it matches an event type of the registry; otherwise a type that no pattern
 * has, so that the call does not compile. A pattern that is only known at run time (`string`)
 * passes.
 */
export type CheckedPattern<
  Pattern extends string,
  Events extends object,
> = string extends keyof Events
  ? Pattern
  : string extends Pattern
    ? Pattern
    : Pattern extends string
      ? [KeysOf<Events, Pattern>] extends [never]
        ? NoTypeMatches
        : Pattern
      : never;

type NoTypeMatches = "No event type of the registry matches this pattern.";
