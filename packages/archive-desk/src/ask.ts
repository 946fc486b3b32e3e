/** `cadre graph NAME`: asks the graph that a desk has made. */
import { foldProjection } from "cadre";
import { exitCodes, reportDeskError } from "./desk-exit.ts";
import { defaultFolder, openForReading } from "./desk-folder.ts";
import { deskProjection } from "./desk-view.ts";
import { askGraph } from "./graph-query.ts";
import { renderReply } from "./graph-text.ts";
import { Screen } from "./screen.ts";
import { wholeNumber } from "./text-layout.ts";

export interface GraphOptions {
  readonly name: string;
  /** The folder of the log. @default ".cadre/archive-desk" */
  readonly data?: string;
  /** The log instead of a folder's: `postgres://…`. @default the folder's */
  readonly store?: string;
  /** Prints the answer as one JSON object. @default false */
  readonly json?: boolean;
}

/**
 * Folds the log to its graph and answers about a name: when, where, with whom, said in which
 * sentences.
 *
 * @returns the exit code: 0; 3 when the name, or the graph, isn't there
 * @throws {CadreError} when the log can't be opened
 */
export async function graph(options: GraphOptions): Promise<number> {
  try {
    const log = await openForReading(options.data ?? defaultFolder, options.store);
    try {
      const { state } = await foldProjection(log.store, deskProjection);
      if (state.finished === undefined) {
        const [done, planned] = [state.completed, state.planned].map(wholeNumber);
        process.stderr.write(
          `The graph isn't finished: ${done} of ${planned} tasks are done. "cadre demo" goes on.\n`,
        );
      }
      const reply = askGraph(state.graph, options.name);
      if (options.json) {
        process.stdout.write(`${JSON.stringify(reply)}\n`);
      } else {
        const screen = new Screen(process.stdout);
        screen.lines(renderReply(reply, screen.columns));
      }
      return reply.found ? exitCodes.ok : exitCodes.notFound;
    } finally {
      await log.close();
    }
  } catch (error) {
    return reportDeskError(error);
  }
}
