/**
 * Permissions: who may publish, subscribe, claim and vote. What no rule allows is refused, and a
 * tenant is a wall that no rule opens:
 *
 *   of tenant a    publishes as a, whatever it says    sees a, and what is of no tenant
 *   of none        publishes without a tenant          sees what is of no tenant
 *   of *           publishes as it says                sees all
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import {
  compileRules,
  covers,
  type CompiledRule,
  type Member,
  type PermissionOptions,
  type Right,
} from "./permission-rules.ts";
import { isInternal, isNews } from "./reply.ts";

export interface Refusal {
  readonly rule: "forbidden" | "foreign_tenant";
  readonly error: CadreError<"FORBIDDEN">;
}

/** Whose keys are whose: rules and members may be by name or by DID. */
export interface KeyNames {
  nameOf(did: string): string | undefined;
  didsOf(name: string): readonly string[];
}

const anyTenant = "*";

/** What the runtime of an agent says of the work that it has claimed. */
const ofClaims =
  /^(task\.(claimed|acknowledged|started|progress|completed|failed|retry|handed_off|result_rejected)|(step|saga)\..*)$/;
const ofVotes = /^(action\.voted|validation\.responded|debate\.(sealed|opening|turned|judged))$/;
const ofPresence =
  /^agent\.(created|initialized|online|started|paused|stopped|offline|updated|heartbeat)$/;

interface Said {
  readonly agent?: unknown;
  readonly capability?: unknown;
  readonly voter?: unknown;
  readonly validator?: unknown;
}

export class Permissions {
  readonly #rules: readonly CompiledRule[];
  readonly #members: ReadonlyMap<string, Member>;
  readonly #keys: KeyNames;
  readonly #exempt: ReadonlySet<string>;
  readonly #hasWalls: boolean;

  /**
   * @param keys whose keys are whose
   * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN
   */
  constructor(
    options: PermissionOptions,
    keys: KeyNames = { nameOf: () => undefined, didsOf: () => [] },
  ) {
    this.#rules = compileRules(options);
    this.#members = new Map(Object.entries(options.members ?? {}));
    this.#keys = keys;
    this.#exempt = new Set(options.exempt);
    this.#hasWalls = [...this.#members.values()].some(
      ({ tenant = anyTenant }) => tenant !== anyTenant,
    );
  }

  tenantOf(who: string): string | undefined {
    if (this.#exempt.has(who)) return anyTenant;
    return this.#memberOf(who)?.tenant;
  }

  /** Whether a rule allows it, and no wall stands before it. */
  may(who: string, right: Right, on: string, tenant?: string): boolean {
    if (this.#exempt.has(who)) return true;
    return this.sees(who, tenant) && this.#allows(who, right, (rule) => rule.matches(on), tenant);
  }

  /** Whether what is of this tenant may come before its eyes. */
  sees(who: string, tenant: string | undefined): boolean {
    const own = this.tenantOf(who);
    return own === anyTenant || tenant === undefined || tenant === own;
  }

  /** @throws {CadreError} FORBIDDEN, for what is of another tenant */
  assertSees(who: string, tenant: string | undefined): void {
    if (!this.sees(who, tenant))
      throw forbidden(who, "subscribe", "what another tenant asks", tenant);
  }

  /** What it stands behind, where there are tenants: members behind the same one see the same. */
  wallOf(who: string): string | undefined {
    const own = this.tenantOf(who);
    if (!this.#hasWalls || own === anyTenant) return undefined;
    return own === undefined ? "no tenant" : `tenant ${JSON.stringify(own)}`;
  }

  /** Whether what nobody knows the tenant of may come before its eyes. */
  seesUnknown(who: string): boolean {
    return !this.#hasWalls || this.tenantOf(who) === anyTenant;
  }

  /** @throws {CadreError} FORBIDDEN */
  assertMay(who: string, right: Right, on: string, tenant?: string): void {
    if (!this.may(who, right, on, tenant)) throw forbidden(who, right, on, tenant);
  }

  /**
   * For a subscription: everything that the pattern can match must be allowed.
   * @throws {CadreError} FORBIDDEN
   */
  assertMaySubscribe(who: string, pattern: string): void {
    if (this.#exempt.has(who)) return;
    const isCovered = (rule: CompiledRule): boolean =>
      rule.patterns.some((allowed) => covers(allowed, pattern));
    if (this.#allows(who, "subscribe", isCovered)) return;
    throw forbidden(who, "subscribe", pattern);
  }

  /**
   * The tenant that an event of this source is of.
   * @throws {CadreError} FORBIDDEN, when another was asked for
   */
  tenantFor(who: string, asked: string | undefined): string | undefined {
    const own = this.tenantOf(who);
    if (own === anyTenant || asked === undefined || asked === own) {
      return own === anyTenant ? asked : own;
    }
    throw foreign(who, asked);
  }

  /** Why an event that has come may not be handed on. */
  refusalOf(event: AgentEvent): Refusal | undefined {
    const { source, type, metadata } = event;
    if (this.#exempt.has(source)) return undefined;
    const own = this.tenantOf(source);
    const { tenant } = metadata;
    if (own !== anyTenant && own !== tenant) {
      return { rule: "foreign_tenant", error: foreign(source, tenant) };
    }
    if (this.#maySay(event)) return undefined;
    return { rule: "forbidden", error: forbidden(source, "publish", type, tenant) };
  }

  #maySay({ source, type, payload, metadata: { tenant } }: AgentEvent): boolean {
    // The bus's own: an answer to whoever asked, news of itself.
    if (isInternal(type) || type === "violation.detected") return true;
    if (this.#allows(source, "publish", (rule) => rule.matches(type), tenant)) return true;
    const said: Said = typeof payload === "object" && payload !== null ? payload : {};
    // Without the right to publish it, nobody says such a thing of anybody else.
    if (!this.#isOfItself(source, said)) return false;
    if (isNews(type)) return true;
    if (ofPresence.test(type)) return typeof said.agent === "string";
    const right = ofClaims.test(type) ? "claim" : ofVotes.test(type) ? "vote" : undefined;
    if (right === undefined) return false;
    const { capability } = said;
    const isThat = (rule: CompiledRule): boolean =>
      right === "vote" || typeof capability !== "string" || rule.matches(capability);
    return this.#allows(source, right, isThat, tenant);
  }

  /** Whether all whom it names as doing something are its source. */
  #isOfItself(source: string, { agent, voter, validator }: Said): boolean {
    const name = this.#keys.nameOf(source);
    return [agent, voter, validator].every(
      (who) => who === undefined || who === source || (name !== undefined && who === name),
    );
  }

  #allows(
    who: string,
    right: Right,
    fits: (rule: CompiledRule) => boolean,
    tenant?: string,
  ): boolean {
    const own = this.tenantOf(who);
    return this.#rules.some((rule) => {
      if (!rule.may.has(right) || !this.#isMeant(rule, who) || !fits(rule)) return false;
      if (rule.tenant === undefined || rule.tenant === own) return true;
      return own === anyTenant && (tenant === undefined || tenant === rule.tenant);
    });
  }

  #isMeant({ who: meant }: CompiledRule, who: string): boolean {
    if (meant.has("*") || meant.has(who)) return true;
    const name = this.#keys.nameOf(who);
    if (name !== undefined && meant.has(name)) return true;
    if (this.#keys.didsOf(who).some((did) => meant.has(did))) return true;
    const roles = this.#memberOf(who)?.roles ?? [];
    return roles.some((role) => meant.has(`role:${role}`));
  }

  #memberOf(who: string): Member | undefined {
    const name = this.#keys.nameOf(who);
    const aliases = [who, ...(name === undefined ? [] : [name]), ...this.#keys.didsOf(who)];
    for (const alias of aliases) {
      const member = this.#members.get(alias);
      if (member) return member;
    }
    return undefined;
  }
}

function forbidden(
  who: string,
  right: Right,
  on: string,
  tenant?: string,
): CadreError<"FORBIDDEN"> {
  const within = tenant === undefined ? "" : ` of tenant "${tenant}"`;
  const message = `"${who}" may not ${right} "${on}"${within}: no permission allows it.`;
  const of = tenant === undefined ? {} : { tenant };
  return new CadreError("FORBIDDEN", message, { who, right, on, ...of });
}

function foreign(who: string, tenant: string | undefined): CadreError<"FORBIDDEN"> {
  const which = tenant === undefined ? "no tenant" : `tenant "${tenant}"`;
  const message = `"${who}" may not publish as of ${which}: it is of another.`;
  const of = tenant === undefined ? {} : { tenant };
  return new CadreError("FORBIDDEN", message, { who, right: "publish", on: which, ...of });
}
