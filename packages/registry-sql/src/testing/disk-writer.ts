// Changes the registry named by the first argument on request, and answers questions about it. bad-disk.test.ts gives it
// a disk that is slow or fails.

import process from 'node:process';
import type { Registry } from '@palyra/identity/registry';
import { lookAtSqliteRegistry, openSqliteRegistry } from '../index.ts';
import { sampleEvent } from './samples.ts';

/** `write`: stores the number, and so many bytes. `read`: the number. `wrote` and `refused` may come later than answers to later requests. */
export type DiskRequest =
  | { readonly write: number; readonly bytes?: number }
  | { readonly read: number }
  | 'snapshot'
  | 'close';
export type DiskReport =
  | 'open'
  | { readonly wrote: number }
  | { readonly refused: number; readonly code: string }
  | { readonly read: number; readonly number: string | null }
  | { readonly snapshot: string | null };

const [path, how] = process.argv.slice(2);
if (path === undefined) throw new TypeError('the path of a registry is missing');
const report = (what: DiskReport) => void process.send?.(what);

if (how === 'look') {
  const number = await lookAtSqliteRegistry(
    { path },
    async (reader) => (await reader.setting('number')) ?? null,
  );
  process.once('message', () => report({ read: 0, number }));
} else {
  const registry = await openSqliteRegistry({ path });
  process.on('message', (request: DiskRequest) => answer(registry, request));
}
report('open');

async function answer(registry: Registry, request: DiskRequest): Promise<void> {
  if (request === 'close') {
    await registry.close();
    process.disconnect?.();
  } else if (request === 'snapshot') {
    const snapshot = await registry.snapshot();
    report({ snapshot: (await snapshot.setting('number')) ?? null });
    await snapshot.close();
  } else if ('read' in request) {
    report({ read: request.read, number: (await registry.setting('number')) ?? null });
  } else {
    await write(registry, request.write, request.bytes);
  }
}

async function write(registry: Registry, number: number, bytes = 0): Promise<void> {
  try {
    await registry.transact(async (tx) => {
      await tx.putSetting('number', String(number));
      await tx.putSetting('filler', String(number % 10).repeat(bytes));
      await tx.appendAudit(sampleEvent());
    });
    report({ wrote: number });
  } catch (error) {
    report({ refused: number, code: String((error as { code?: unknown }).code) });
  }
}
