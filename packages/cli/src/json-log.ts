// The log of a daemon as JSON lines.

import type { LogLine, LogOptions } from '@palyra/daemon';
import type { Output } from './output.ts';

type Write = LogOptions['write'];

/** @returns a function that writes each line: `{"level":"info","time":"...","message":"...", ...}` */
export function jsonLog(output: Pick<Output, 'log'>): Write {
  let write: Write | undefined;
  const waiting: LogLine[] = [];
  // Loaded with the first line, because most daemons write no log.
  return (line) => {
    if (write) write(line);
    else if (waiting.push(line) === 1)
      void open(output).then((opened) => {
        write = opened;
        for (const each of waiting) opened(each);
      });
  };
}

async function open(output: Pick<Output, 'log'>): Promise<Write> {
  const { pino } = await import('pino');
  const log = pino(
    {
      // The daemon has chosen among the lines.
      level: 'debug',
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    { write: (line: string) => output.log(line.trimEnd()) },
  );
  return ({ level, message, fields }) => log[level](fields, message);
}
