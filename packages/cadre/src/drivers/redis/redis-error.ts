import { CadreError } from "../../core/errors.ts";

interface Asked {
  /** Without credentials. */
  readonly url: string;
  readonly what: string;
  readonly connected: boolean;
}

const credentials = /^(?:NOAUTH|WRONGPASS|NOPERM|ERR invalid password|ERR AUTH)\b/;

/** Asking again with the same credentials changes nothing. */
export function isRefusedLogin(error: unknown): boolean {
  return error instanceof Error && credentials.test(error.message);
}

/** Nor does it with a certificate that is not trusted. */
export function isRefusedCertificate(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code);
}

export function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}

/** What the client threw, as an error for the caller. */
export function forCaller(error: unknown, { url, what, connected }: Asked): CadreError {
  if (error instanceof CadreError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = /\b(OOM|MISCONF|READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|BUSY) /.exec(text)?.[1];
  if (code === "OOM" || code === "MISCONF") {
    const message = `The Redis server at ${url} can keep no more: ${text}.`;
    return new CadreError("STORE_FULL", message, { path: url }, error);
  }
  return new CadreError(
    "UNREACHABLE",
    explain({ url, what, connected }, text, code),
    {
      url,
      tried: 1,
    },
    error,
  );
}

function explain({ url, what, connected }: Asked, text: string, code: string | undefined): string {
  if (code !== undefined) {
    return `The Redis server at ${url} does not take ${what} now: ${text}. Try again later.`;
  }
  if (credentials.test(text)) {
    return `The Redis server at ${url} refused the credentials for ${what}: ${text}.`;
  }
  if (connected) return `${what} failed at the Redis server at ${url}: ${text}.`;
  return (
    `There is no connection to the Redis server at ${url}, and ${what} was not answered: ` +
    `${text}. The client keeps trying to connect.`
  );
}
