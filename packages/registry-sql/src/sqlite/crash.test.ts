import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { verifyAuditChain } from '@palyra/identity/registry';
import { builtProgram } from '../../../../tests/testing/built-program.ts';
import { sha256Hex } from '../testing/sha256.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { openSqliteRegistry } from './open.ts';

const WRITER = builtProgram(fileURLToPath(new URL('../testing/crash-writer.ts', import.meta.url)));

test('a killed process loses no acknowledged change and leaves no partial change', async (t) => {
  for (const kills of [1, 200]) {
    const path = join(await temporaryFolder(t), 'registry.sqlite');
    const writer = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WRITER, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(writer, 'exit');
    let acknowledged = 0;
    for await (const line of createInterface({ input: writer.stdout })) {
      acknowledged = Number(line);
      if (acknowledged >= kills) writer.kill('SIGKILL');
    }
    assert.deepEqual(await exited, [null, 'SIGKILL']);
    assert.ok(acknowledged >= kills);

    const registry = await openSqliteRegistry({ path });
    const written = Number(await registry.setting('number'));
    // The last change can be stored without having been acknowledged yet.
    assert.ok(written === acknowledged || written === acknowledged + 1, `${written} of ${acknowledged}`);
    assert.equal((await registry.counts()).devices, written);
    assert.equal((await registry.devices({ limit: written + 10 })).length, written);
    const head = await registry.auditHead();
    assert.equal(head.seq, written);
    assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
    await registry.close();
  }
});
