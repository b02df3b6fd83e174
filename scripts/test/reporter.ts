// Runs in the process of a test file, and writes its events as lines of JSON to descriptor 3. node:test delays its
// events to keep them in order. The start of a test is reported at once, so that the runner knows it if the process
// hangs.

import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import process from 'node:process';
import { Transform } from 'node:stream';
import { inspect } from 'node:util';

const colors = process.env.PALYRA_TEST_COLORS !== undefined;
const tell = (type: string, data: unknown) => void writeSync(3, `${JSON.stringify({ type, data })}\n`);

for (const type of ['start', 'end']) {
  subscribe(`tracing:node.test:${type}`, (message) => {
    const { name, nesting } = message as { name: string; nesting: number };
    tell(type, { name, nesting });
  });
}

export default new Transform({
  writableObjectMode: true,
  transform({ type, data }: { type: string; data: Record<string, unknown> }, _encoding, done) {
    tell(type, { ...data, details: plain(data.details) });
    done();
  },
});

/** Replaces an error, which JSON cannot hold, with its printed text. */
function plain(details: unknown): unknown {
  const { error, ...rest } = (details ?? {}) as { error?: Error & { failureType?: string } };
  if (!error) return details;
  return { ...rest, failure: { type: error.failureType, text: inspect(error.cause ?? error, { colors }) } };
}
