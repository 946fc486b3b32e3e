import { spawnSync } from "node:child_process";
import { join } from "node:path";

export interface Certificate {
  readonly key: string;
  /** It is its own authority. */
  readonly ca: string;
}

/** Writes a key and a certificate for this machine; undefined where there is no openssl. */
export function makeCertificate(folder: string): Certificate | undefined {
  const [key, ca] = [join(folder, "key.pem"), join(folder, "ca.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const whose = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", key, "-out", ca];
  const made = spawnSync("openssl", ["req", ...kind, "-days", "2", ...whose, ...files]);
  return made.status === 0 ? { key, ca } : undefined;
}
