/** Steps that the functions which write to the log have in common. */
import { appendLock, answerLock } from "./locks.ts";

/** The channel on which commits are announced. */
export function channelOf(schema: string): string {
  return `cadre_${schema}`;
}

/** Nobody else writes to the log until the transaction is over. */
export function takeTurn(schema: string): string {
  return `
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the log is written under READ COMMITTED, not %; change the preset',
      current_setting('transaction_isolation') USING ERRCODE = 'feature_not_supported';
  END IF;
  PERFORM pg_advisory_xact_lock(${appendLock(schema)});`;
}

/** By `p_durable`. */
export const setDurability = `
  IF NOT p_durable THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  ELSIF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;`;

/** Leaves in `l_head` where the log ends, and in `l_at` a time that is not before its last. */
export function lookAtEnd(schema: string): string {
  return `
  l_at := floor(extract(epoch FROM clock_timestamp()) * 1000);
  SELECT position, greatest(recorded_at, l_at) INTO l_head, l_at
    FROM ${schema}.events ORDER BY position DESC LIMIT 1;
  IF NOT FOUND THEN
    l_head := 0;
    l_at := floor(extract(epoch FROM clock_timestamp()) * 1000);
  END IF;`;
}

/** Wakes those who wait, and says where the log ends; 0 when no event was written. */
export function announce(schema: string, head: string): string {
  return `
  PERFORM nextval('${schema}.changes');
  PERFORM pg_notify('${channelOf(schema)}', (${head})::text);`;
}

/** Answers as before when the batch `p_batch` of `p_writer` comes again. */
export function recall(schema: string): string {
  return `
    SELECT batch, answer INTO l_batch, l_answer FROM ${schema}.answers WHERE writer = p_writer;
    IF l_batch = p_batch THEN RETURN l_answer; END IF;
    -- Its writer has long asked again on another connection, and gone on.
    IF l_batch > p_batch THEN
      RAISE EXCEPTION 'batch % comes after batch %', p_batch, l_batch;
    END IF;`;
}

/** Keeps `l_answer`, given at `l_at`. */
export function remember(schema: string): string {
  return `
    UPDATE ${schema}.answers SET batch = p_batch, answered_at = l_at, answer = l_answer
      WHERE writer = p_writer;
    IF NOT FOUND THEN
      -- A writer's first: those that have not written for a day won't ask again.
      DELETE FROM ${schema}.answers WHERE answered_at < l_at - 86400000;
      INSERT INTO ${schema}.answers (writer, batch, answered_at, answer)
        VALUES (p_writer, p_batch, l_at, l_answer);
    END IF;`;
}

/** Two calls of one writer go one after the other, though the log is not written. */
export const takeWritersTurn: string = `
  PERFORM pg_advisory_xact_lock(${answerLock("p_writer")});`;
