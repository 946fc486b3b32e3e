/**
 * Fields of a log line. Keep them flat; values that JSON cannot carry are the logger's to render.
 */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Where Cadre says what happens. The shape fits pino's and console's children with a one-line
 * adapter.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Says nothing. The default: a library does not write to its user's terminal unasked. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
};

/** A logger that calls `write` with one JSON line for each record of at least `level`. */
export function createJsonLogger(
  write: (line: string) => void,
  options: { readonly level?: keyof Logger; readonly now?: () => number } = {},
): Logger {
  const levels: readonly (keyof Logger)[] = ["debug", "info", "warn", "error"];
  const least = levels.indexOf(options.level ?? "info");
  const line =
    (level: keyof Logger) =>
    (message: string, fields: LogFields = {}): void => {
      if (levels.indexOf(level) < least) return;
      const time = options.now ? { time: options.now() } : {};
      write(JSON.stringify({ level, ...time, message, ...fields }));
    };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}
