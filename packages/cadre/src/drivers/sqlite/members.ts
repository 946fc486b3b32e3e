/**
 * Who has the file open: one row a connection. A lease names the connection that holds it, so that
 * the leases of a process that is gone are free at once, on the one host that can tell.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import type { Connection } from "./connection.ts";

export interface Member {
  readonly no: number;
  readonly pid: number;
  /**
   * When the process started, as the system says it: tells a process from a later one with its
   * number.
   */
  readonly started: string;
  /** The host and its space of process numbers: only within one can be told who lives. */
  readonly host: string;
}

/**
 * Adds this connection. Inside a transaction. Returns its number, which no other connection ever
 * has.
 */
export function addMember(connection: Connection): number {
  connection
    .sql("INSERT INTO members (pid, started, host) VALUES (?, ?, ?)")
    .run(process.pid, startOf(process.pid), thisHost());
  return Number(connection.sql("SELECT last_insert_rowid()").get()?.[0]);
}

export function removeMember(connection: Connection, no: number): void {
  connection.sql("DELETE FROM members WHERE no = ?").run(no);
}

export function listMembers(connection: Connection): readonly Member[] {
  return connection
    .sql("SELECT no, pid, started, host FROM members ORDER BY no")
    .all()
    .map(([no, pid, started, host]) => ({
      no: Number(no),
      pid: Number(pid),
      started: String(started),
      host: String(host),
    }));
}

/** Whether the member's process is known to be gone. False where that cannot be told. */
export function isGone(member: Member): boolean {
  if (member.host !== thisHost()) return false;
  if (member.pid === process.pid) return member.started !== startOf(process.pid);
  try {
    process.kill(member.pid, 0);
  } catch (error) {
    // EPERM: it lives, and belongs to another user.
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
  return member.started !== startOf(member.pid) || isZombie(member.pid);
}

/** The start of a process in the system's ticks; empty where the system doesn't say. */
function startOf(pid: number): string {
  return statOf(pid)[19] ?? "";
}

/** Ended, and not yet collected by its parent. */
function isZombie(pid: number): boolean {
  return statOf(pid)[0] === "Z";
}

/** The fields after the process's name, which may hold spaces and parentheses itself. */
function statOf(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

let host: string | undefined;

function thisHost(): string {
  if (host === undefined) {
    let space = "";
    try {
      space = readlinkSync("/proc/self/ns/pid");
    } catch {
      // Not Linux: the host's name alone.
    }
    host = `${hostname()} ${space}`;
  }
  return host;
}
