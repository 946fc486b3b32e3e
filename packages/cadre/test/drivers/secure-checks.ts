/** What holds of every broker with passwords and a certificate, and where a library is missing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createBus, isCadreError, type Transport } from "cadre";

export async function carriesNotes(transport: Transport, group: string = "readers"): Promise<void> {
  const bus = createBus({ transport });
  const seen = Promise.withResolvers<unknown>();
  await bus.subscribe("note.*", { group }, (event) => seen.resolve(event.payload));
  await bus.publish("note.taken", { text: group });
  assert.deepEqual(await seen.promise, { text: group });
  await bus.close();
}

/** At the first try, and what was wrong is in no message. */
export async function refusesPassword(transport: Transport, wrong: RegExp): Promise<string> {
  let message = "";
  await assert.rejects(transport.publish([]), (error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.equal(error.details.tried, 1);
    assert.doesNotMatch(`${error.message} ${JSON.stringify(error.details)}`, wrong);
    message = error.message;
    return true;
  });
  await transport.close();
  return message;
}

export async function refusesCertificate(transport: Transport, password: RegExp): Promise<void> {
  await assert.rejects(transport.publish([]), (error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.match(error.message, /certificate/i);
    assert.doesNotMatch(error.message, password);
    return true;
  });
  await transport.close();
}

/** Opens the transport in a process that finds no such library. */
export function saysWhatToInstall(driver: "kafka" | "nats", library: string): void {
  const code = `
    import { registerHooks } from "node:module";
    registerHooks({
      resolve(name, context, next) {
        if (name !== ${JSON.stringify(library)}) return next(name, context);
        throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
      },
    });
    const { ${driver} } = await import(${JSON.stringify(import.meta.resolve(`cadre/${driver}`))});
    const transport = ${driver}("${driver}://127.0.0.1:1");
    const error = await transport.publish([]).catch((error) => error);
    const health = await transport.health();
    await transport.close();
    console.log(JSON.stringify({ code: error.code, details: error.details, health }));`;
  const args = ["--conditions=source", "--input-type=module", "-e", code];
  const cwd = fileURLToPath(new URL("../../", import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
  const said = JSON.parse(stdout || "null") as {
    code: string;
    details: unknown;
    health: { ok: boolean; detail: string };
  } | null;
  assert.ok(said, stderr);
  const install = `npm install ${library}`;
  assert.equal(said.code, "MISSING_LIBRARY");
  assert.deepEqual(said.details, { library, install });
  assert.equal(said.health.ok, false);
  assert.ok(said.health.detail.includes(install), said.health.detail);
}
