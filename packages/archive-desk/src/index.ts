/** The archive desk: what `cadre demo` and `cadre graph` run. */
export { demo, type DemoOptions } from "./demo.ts";
export { graph, type GraphOptions } from "./ask.ts";
