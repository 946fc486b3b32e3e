/**
 * The servers that tests run against: where they are, and how to get them.
 *
 * A server is looked for on PATH and in the folders where distributions put it. Where one is
 * missing and this is root on a system with apt-get, it is installed; otherwise one line says why
 * not. What is a Python program goes into a virtual environment in the user's cache folder.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { findJars, installJars, type Jars } from "./maven.ts";

export interface TestServer {
  readonly name: string;
  /** Names of the executable, tried in turn. */
  readonly binaries: readonly string[];
  /** Folders besides PATH. */
  readonly folders: readonly string[];
  /** Debian's package; of one that is installed otherwise, what that needs. */
  readonly aptPackage: string;
  /** Packages of PyPI that go into a virtual environment of their own, the first named folder. */
  readonly pythonPackages?: readonly string[];
  /** Where the server is no program but jars: then its path is their folder. */
  readonly jars?: Jars;
  /** Tests find the executable here. */
  readonly variable: string;
  /** Its tests are part of `npm test`: missing is an error with CI=true. */
  readonly required: boolean;
}

const installTimeoutMs = 300_000; // a slow mirror must not hold the tests for ever

export const testServers: readonly TestServer[] = [
  {
    name: "nats-server",
    binaries: ["nats-server"],
    folders: ["/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"],
    aptPackage: "nats-server",
    variable: "CADRE_TEST_NATS_SERVER",
    required: true,
  },
  {
    name: "postgres",
    binaries: ["postgres"],
    folders: [18, 17, 16, 15].map((version) => `/usr/lib/postgresql/${version}/bin`),
    aptPackage: "postgresql",
    variable: "CADRE_TEST_POSTGRES",
    required: true,
  },
  {
    name: "mariadb",
    binaries: ["mariadbd", "mysqld"],
    folders: ["/usr/sbin", "/usr/libexec", "/opt/homebrew/bin"],
    aptPackage: "mariadb-server",
    variable: "CADRE_TEST_MARIADB",
    required: true,
  },
  {
    name: "redis-server",
    binaries: ["redis-server"],
    folders: ["/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"],
    aptPackage: "redis-server",
    variable: "CADRE_TEST_REDIS_SERVER",
    required: true,
  },
  {
    // The script of the server itself: the wrapper on PATH changes the user.
    name: "rabbitmq-server",
    binaries: ["sbin/rabbitmq-server"],
    get folders(): string[] {
      return versionsIn("/usr/lib/rabbitmq/lib"); // anew: it may have been installed just now
    },
    aptPackage: "rabbitmq-server",
    variable: "CADRE_TEST_RABBITMQ_SERVER",
    required: true,
  },
  {
    // A stand-in for EventBridge and SQS.
    name: "moto",
    binaries: ["bin/moto_server"],
    folders: [join(cacheFolder(), "moto-5.2.5")],
    aptPackage: "python3-venv",
    pythonPackages: ["moto[events,sqs]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"],
    variable: "CADRE_TEST_MOTO",
    required: true,
  },
  {
    name: "kafka",
    binaries: [],
    folders: [],
    aptPackage: "default-jre-headless maven", // for the jars, where they are missing
    jars: {
      folder: "kafka-4.1.0",
      artifacts: ["org.apache.kafka:kafka_2.13:4.1.0", "org.slf4j:slf4j-simple:1.7.36"],
    },
    variable: "CADRE_TEST_KAFKA_JARS",
    required: true,
  },
  {
    // Another client of Kafka's, to read what is written here.
    name: "kcat",
    binaries: ["kcat"],
    folders: ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"],
    aptPackage: "kcat",
    variable: "CADRE_TEST_KCAT",
    required: true,
  },
];

export type Availability =
  | { readonly server: TestServer; readonly path: string }
  | { readonly server: TestServer; readonly path?: never; readonly why: string };

/** The part of the system that installs packages; tests hand in another. */
export interface Installer {
  /** Why nothing can be installed here; undefined where it can. */
  readonly refusal: string | undefined;
  /** Resolves the error's text, or undefined when it worked. */
  install(aptPackage: string): string | undefined;
}

/** The executable's path: the variable first, then PATH, then the known folders. */
export function findServer(server: TestServer, env: NodeJS.ProcessEnv): string | undefined {
  const named = env[server.variable];
  if (named !== undefined && named !== "") return isExecutable(named) ? named : undefined;
  if (server.jars) return findJars(server.jars, env);
  const folders = [...(env["PATH"] ?? "").split(delimiter), ...server.folders];
  for (const folder of folders) {
    for (const binary of server.binaries) {
      const path = join(folder, binary);
      if (folder !== "" && isExecutable(path)) return path;
    }
  }
  return undefined;
}

/** Finds a server by its name in the list; for tests that are run by hand. */
export function findServerByName(name: string): string | undefined {
  const server = testServers.find((item) => item.name === name);
  if (server === undefined) throw new Error(`No test server is called "${name}".`);
  return findServer(server, process.env);
}

/** Finds or installs a server. */
export function ensureServer(
  server: TestServer,
  env: NodeJS.ProcessEnv,
  installer: Installer,
): Availability {
  const found = findServer(server, env);
  if (found !== undefined) return { server, path: found };
  if (server.pythonPackages) return ensurePython(server, server.pythonPackages, env, installer);
  const how = `install it (Debian: apt-get install ${server.aptPackage}) or set ${server.variable}`;
  if (server.jars) return ensureJars(server, server.jars, env, installer);
  if (installer.refusal !== undefined) return { server, why: `${installer.refusal}; ${how}` };
  const error = installer.install(server.aptPackage);
  if (error !== undefined) return { server, why: `${error}; ${how}` };
  const installed = findServer(server, env);
  if (installed === undefined) return { server, why: `installed, yet not found; ${how}` };
  return { server, path: installed };
}

/** Jars need no root: Maven fetches them. Java and Maven themselves are packages. */
function ensureJars(
  server: TestServer,
  jars: Jars,
  env: NodeJS.ProcessEnv,
  installer: Installer,
): Availability {
  let error = installJars(jars, env);
  if (error?.startsWith("there is no") && installer.refusal === undefined) {
    error = installer.install(server.aptPackage) ?? installJars(jars, env);
  }
  const found = findServer(server, env);
  if (error === undefined && found !== undefined) return { server, path: found };
  return { server, why: `${error ?? "fetched, yet not found"}; or set ${server.variable}` };
}

/** Anybody may do it where Python can make virtual environments; else its part is installed. */
function ensurePython(
  server: TestServer,
  packages: readonly string[],
  env: NodeJS.ProcessEnv,
  installer: Installer,
): Availability {
  const folder = server.folders[0]!;
  const python = join(folder, "bin", "python");
  const how = `set ${server.variable}, or run: python3 -m venv ${folder}`;
  if (run("python3", ["-m", "venv", folder]) !== undefined) {
    const refusal = installer.refusal ?? installer.install(server.aptPackage);
    if (refusal !== undefined) return { server, why: `${refusal}; ${how}` };
    const error = run("python3", ["-m", "venv", "--clear", folder]);
    if (error !== undefined) return { server, why: `${error}; ${how}` };
  }
  const error = run(python, ["-m", "pip", "install", "--quiet", ...packages]);
  if (error !== undefined) return { server, why: `${error}; ${how}` };
  const installed = findServer(server, env);
  if (installed === undefined) return { server, why: `installed, yet not found; ${how}` };
  return { server, path: installed };
}

/** The error's text, or undefined when it worked. */
function run(command: string, args: readonly string[]): string | undefined {
  const result = spawnSync(command, args, { encoding: "utf8", timeout: installTimeoutMs });
  if (result.status === 0) return undefined;
  const last = result.stderr?.trim().split("\n").at(-1) ?? "";
  return `${command} ${args.slice(0, 3).join(" ")} failed${last === "" ? "" : `: ${last}`}`;
}

/** Where programs keep what can be had again. */
function cacheFolder(): string {
  const named = process.env["XDG_CACHE_HOME"];
  return join(named === undefined || named === "" ? join(homedir(), ".cache") : named, "cadre");
}

/** Installs with apt-get, as root; reads the package lists once. */
export function aptInstaller(): Installer {
  let listsRead = false;
  const apt = (args: readonly string[]): string | undefined => {
    const result = spawnSync("apt-get", ["-q", ...args], {
      encoding: "utf8",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      timeout: installTimeoutMs,
    });
    if (result.status === 0) return undefined;
    const last = result.stderr?.trim().split("\n").at(-1) ?? "";
    return `apt-get ${args[0]} failed${last === "" ? "" : `: ${last}`}`;
  };
  return {
    refusal: refusalToInstall(),
    install(aptPackage) {
      if (!listsRead) {
        const error = apt(["update"]);
        if (error !== undefined) return error;
        listsRead = true;
      }
      return apt(["install", "-y", "--no-install-recommends", ...aptPackage.split(" ")]);
    },
  };
}

/** The folders of a folder, newest names first; it may not be there yet. */
function versionsIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .toSorted()
    .toReversed()
    .map((name) => join(folder, name));
}

function refusalToInstall(): string | undefined {
  if (!existsSync("/usr/bin/apt-get")) return "not found, and there is no apt-get to install it";
  if (process.getuid?.() !== 0) return "not found, and only root may install it";
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
