import { CadreError } from "../../core/errors.ts";

/** Where a URL leads. */
export interface Address {
  /** For the client: the URL without what is ours. */
  readonly connectionString: string;
  /** Without credentials, for messages. */
  readonly shown: string;
  /** `?schema=…` */
  readonly schema: string | undefined;
}

/**
 * `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `postgresql:`. All parameters but `schema` are
 * the client's: `sslmode`, `sslrootcert`, `application_name`, `host` for a socket's folder …
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function parseAddress(text: string): Address {
  const url = typeof text === "string" ? URL.parse(text) : null;
  if (!url || !["postgres:", "postgresql:"].includes(url.protocol) || !hasServer(url, text)) {
    const value = hideCredentials(text);
    throw new CadreError(
      "INVALID_OPTION",
      `"${value}" is no address of a PostgreSQL database. ` +
        "Give postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
      { option: "connection", value },
    );
  }
  const schema = url.searchParams.get("schema") ?? undefined;
  url.searchParams.delete("schema");
  const host = url.hostname || url.searchParams.get("host") || "localhost";
  const port = url.port || url.searchParams.get("port") || "5432";
  return {
    connectionString: url.href,
    shown: `postgres://${host}:${port}${url.pathname}`,
    schema,
  };
}

function hasServer(url: URL, text: string): boolean {
  return /^postgres(ql)?:\/\//i.test(text) && (url.hostname !== "" || url.search !== "");
}

/**
 * What stands in front of the host is secret, whatever signs it has; a parameter may be as well.
 */
function hideCredentials(text: unknown): string {
  if (typeof text !== "string") return typeof text;
  return text.replace(/\/\/.*@/s, "//…@").replace(/\?.*/s, "?…");
}
