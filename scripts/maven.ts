/**
 * Programs that come as jars: a small Maven project, made in the user's cache, copies them with all
 * that they need into one folder.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

export interface Jars {
  /** Name of the folder in the cache, with the version in it. */
  readonly folder: string;
  /** `GROUP:ARTIFACT:VERSION`. */
  readonly artifacts: readonly string[];
}

/** Where the jars are, or will be. */
export function jarFolder(jars: Jars, env: NodeJS.ProcessEnv): string {
  const cache = env["XDG_CACHE_HOME"];
  const base = cache === undefined || cache === "" ? join(homedir(), ".cache") : cache;
  return join(base, "cadre-test", jars.folder);
}

/** The folder, when the jars and a Java to run them are there. */
export function findJars(jars: Jars, env: NodeJS.ProcessEnv): string | undefined {
  const folder = jarFolder(jars, env);
  return existsSync(folder) && hasProgram("java", "-version") ? folder : undefined;
}

/** Downloads the jars with Maven. Returns the error's text, or undefined when it worked. */
export function installJars(jars: Jars, env: NodeJS.ProcessEnv): string | undefined {
  if (!hasProgram("java", "-version")) return "there is no java to run it";
  if (!hasProgram("mvn", "--version")) return "there is no mvn to fetch it";
  const folder = jarFolder(jars, env);
  if (existsSync(folder)) return undefined;
  const parent = join(folder, "..");
  mkdirSync(parent, { recursive: true });
  const work = mkdtempSync(join(parent, "fetching-"));
  try {
    writeFileSync(join(work, "pom.xml"), projectOf(jars));
    const args = ["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"];
    const result = spawnSync("mvn", [...args, "-DincludeScope=runtime"], {
      cwd: work,
      encoding: "utf8",
      timeout: 600_000, // a slow mirror must not hold the tests for ever
    });
    if (result.status !== 0) {
      const line = `${result.stdout}\n${result.stderr}`
        .split("\n")
        .find((text) => /ERROR/.test(text));
      return `mvn failed${line === undefined ? "" : `: ${line.replace(/^\[ERROR\]\s*/, "")}`}`;
    }
    // As a whole or not at all: an interrupted download leaves nothing that looks complete.
    if (!existsSync(folder)) renameSync(join(work, "jars"), folder);
    return undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function hasProgram(name: string, question: string): boolean {
  return spawnSync(name, [question], { stdio: "ignore", env: process.env }).status === 0;
}

function projectOf(jars: Jars): string {
  const dependencies = jars.artifacts.map((artifact) => {
    const [group, name, version] = artifact.split(":");
    return (
      `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId>` +
      `<version>${version}</version></dependency>`
    );
  });
  return [
    '<project xmlns="http://maven.apache.org/POM/4.0.0">',
    "<modelVersion>4.0.0</modelVersion>",
    "<groupId>cadre.test</groupId><artifactId>jars</artifactId><version>1</version>",
    "<packaging>pom</packaging>",
    `<dependencies>${dependencies.join("")}</dependencies>`,
    "</project>",
  ].join("\n");
}
