/** Runs one command of the desk in a process of its own: the options come as JSON. */
import { demo, graph } from "archive-desk";

const [command, options = "{}"] = process.argv.slice(2);
process.exitCode =
  command === "graph" ? await graph(JSON.parse(options)) : await demo(JSON.parse(options));
