import { appendFileSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";

import type { TrustedKeys } from "../../bus/identity/key-ring.ts";
import { verifySignatures, type SignatureReport } from "../../bus/identity/verify-signatures.ts";
import { CadreError } from "../../core/errors.ts";
import { anchorLine, parseAnchor, type Anchor } from "../../store/seal.ts";
import { verifyLog, type AuditReport } from "../../store/verify.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-code.ts";
import { withStore } from "../home.ts";
import { readLines } from "../line-file.ts";
import { countText } from "../size-text.ts";
import { printing } from "./home-flags.ts";
import { storeFlags, storeHome, type StoreFlags } from "./store-flags.ts";

interface VerifyFlags extends StoreFlags {
  readonly anchor?: string;
  readonly addAnchor?: string;
  readonly signatures?: string;
  readonly json?: boolean;
}

/** `cadre verify` */
export function addVerify(program: Command, context: CommandContext): void {
  const command = program.command("verify").summary("check that the log is as it was sealed");
  command
    .description(
      "Checks the log against its seals, and names the first row that was changed, removed or " +
        "inserted. Exits with 0 when all that is sealed is good, with 1 when it is not or when " +
        "nothing is sealed. With --signatures it also checks who has signed what.",
    )
    .option("--signatures <file>", 'whose keys are whose: JSON such as {"reader": "did:key:z6Mk…"}')
    .option("--anchor <file>", "anchors that were kept elsewhere, or an export")
    .option("--add-anchor <file>", "add the last seal's anchor to the file, when all is good");
  printing(storeFlags(command), [
    "cadre verify",
    "cadre verify --data .cadre --anchor /safe/anchors.jsonl",
    "cadre verify --add-anchor /safe/anchors.jsonl",
    "cadre verify --signatures keys.json",
    "cadre verify --json | jq .problem",
  ]);
  command.action((flags: VerifyFlags) => verify(context, flags));
}

async function verify(context: CommandContext, flags: VerifyFlags): Promise<void> {
  const { output, cwd, stop } = context;
  const anchors = flags.anchor === undefined ? [] : await readAnchors(flags.anchor, cwd);
  const trusted = flags.signatures === undefined ? undefined : readKeys(flags.signatures, cwd);
  await withStore(context, storeHome(flags, context.cwd), async (store) => {
    const report = await verifyLog(store, { anchors, signal: stop });
    const signed = trusted && (await verifySignatures(store.read(), { trusted, signal: stop }));
    // Without seals nothing can be said of changes, but something of signatures.
    const isGood = report.ok && (signed ? signed.ok : report.sealed !== undefined);
    if (flags.json) await output.json(signed ? { ...report, signatures: signed } : report);
    else {
      await output.text(reportText(report));
      if (signed) await output.text(signaturesText(signed));
    }
    if (!isGood) context.exit(exitCodes.failed);
    else if (flags.addAnchor !== undefined && report.sealed) {
      appendFileSync(resolve(cwd, flags.addAnchor), `${anchorLine(report.sealed)}\n`);
    }
  });
}

/** @throws {CadreError} NOT_FOUND | INVALID_OPTION */
async function readAnchors(file: string, cwd: string): Promise<readonly Anchor[]> {
  const anchors: Anchor[] = [];
  for await (const line of readLines(file, cwd)) {
    const anchor = line.startsWith('{"anchor"') ? parseAnchor(line) : undefined;
    if (anchor) anchors.push(anchor);
  }
  if (anchors.length > 0) return anchors;
  const message = `There is no anchor in ${file}. "cadre verify --add-anchor FILE" writes one.`;
  throw new CadreError("INVALID_OPTION", message, { option: "anchor", value: file });
}

/** @throws {CadreError} NOT_FOUND | INVALID_OPTION */
function readKeys(file: string, cwd: string): TrustedKeys {
  let text: string;
  try {
    text = readFileSync(resolve(cwd, file), "utf8");
  } catch (error) {
    throw new CadreError(
      "NOT_FOUND",
      `There is no file ${file}.`,
      { what: "file", id: file },
      error,
    );
  }
  let keys: unknown;
  try {
    keys = JSON.parse(text);
  } catch {
    // refused below
  }
  if (typeof keys === "object" && keys !== null && !Array.isArray(keys)) {
    return keys as TrustedKeys; // the key ring looks at each
  }
  const message = `${file} holds no JSON object of names and their did:key.`;
  throw new CadreError("INVALID_OPTION", message, { option: "signatures", value: file });
}

const maxShown = 10; // bad signatures; --json has a hundred

function signaturesText({ good, unsigned, apart, bad, problems }: SignatureReport): string {
  const parts = [
    `${good} good`,
    ...(unsigned > 0 ? [`${unsigned} unsigned of sources without a key`] : []),
    ...(apart > 0 ? [`${apart} with payloads that are not here`] : []),
    `${bad} bad`,
  ];
  const lines = problems.slice(0, maxShown).map(({ position, type, source, rule }) => {
    // A forger writes what he likes, and could write lines of this report.
    return `${position} ${type} from ${source}: ${rule}`.replaceAll("\n", " ");
  });
  return [`Signatures: ${parts.join(", ")}.`, ...lines].join("\n");
}

function reportText(report: AuditReport): string {
  const { problem, verifiedTo, sealed, seals, rows, removed, unsealed, anchors } = report;
  if (problem) {
    const good = verifiedTo === 0 ? "" : ` Up to position ${verifiedTo} all is as it was sealed.`;
    return `${problem.message}${good}`;
  }
  if (!sealed) {
    return `Nothing is sealed, so nothing can be said about ${countText(unsealed, "row")}. Start teams with audit: true.`;
  }
  const parts = [
    `${countText(rows, "row")} under ${countText(seals, "seal")}`,
    ...(removed > 0 ? [`${countText(removed, "row")} removed by retention`] : []),
    ...(anchors > 0 ? [`${countText(anchors, "anchor")} found`] : []),
    unsealed > 0 ? `${countText(unsealed, "row")} not sealed yet` : "nothing unsealed",
  ];
  return `Good up to position ${verifiedTo}: ${parts.join(", ")}.`;
}
