// By default the library trusts the system's authorities as well as the given root, and leaves keys where others can read them. In
// these tests the system trusts a foreign authority, and each test shows first that the default would let it in.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { builtProgram } from '../../../../tests/testing/built-program.ts';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { createPki, type Pki } from '../../../rpc/src/testing/pki.ts';

const script = builtProgram(fileURLToPath(new URL('../testing/trust-scenario.ts', import.meta.url)));

/** Undefined when the variable is not set. */
type Environment = Record<string, string | undefined>;

describe('the trust of the QUIC library', () => {
  let pki: Pki;
  let foreign: Pki;
  let folder: string;
  /** Two ways for a system to trust the foreign authority. */
  let systems: [name: string, env: Environment][];

  before(async () => {
    pki = await createPki();
    foreign = await createPki();
    folder = temporaryFolder();
    const file = join(folder, 'system.pem');
    writeFileSync(file, foreign.rootPem);
    const hashed = join(folder, 'system');
    mkdirSync(hashed);
    const hash = execFileSync('openssl', ['x509', '-in', file, '-noout', '-hash'], {
      encoding: 'utf8',
    }).trim();
    writeFileSync(join(hashed, `${hash}.0`), foreign.rootPem);
    systems = [
      ['a file', { SSL_CERT_FILE: file }],
      ['a folder', { SSL_CERT_FILE: '/dev/null', SSL_CERT_DIR: hashed }],
    ];
  });

  async function run(scenario: string, env: Environment = {}, input: object = {}): Promise<unknown> {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, scenario], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end(JSON.stringify({ serverTls: pki.serverTls, clientTls: pki.clientTls, ...input }));
    return json(child.stdout);
  }

  it('refuses a daemon of an authority that only the system trusts', async () => {
    const input = { serverTls: { ...foreign.daemon, clientRoots: pki.rootPem } };
    for (const [name, env] of systems) {
      assert.deepEqual(await run('bare', env, input), { result: 'served', admitted: 1 }, `control: ${name}`);
      assert.deepEqual(
        await run('ours', env, input),
        { result: 'DAEMON_NOT_AUTHENTICATED', admitted: 0 },
        name,
      );
    }
  });

  it('refuses a device of an authority that only the system trusts', async () => {
    const input = { clientTls: { ...pki.clientTls, ...foreign.device } };
    for (const [name, env] of systems) {
      assert.deepEqual(await run('bare', env, input), { result: 'served', admitted: 1 }, `control: ${name}`);
      assert.deepEqual(await run('ours', env, input), { result: 'CERTIFICATE_UNKNOWN', admitted: 0 }, name);
    }
  });

  it('serves devices of its own authority, whatever the system trusts', async () => {
    for (const [, env] of systems)
      assert.deepEqual(await run('ours', env), { result: 'served', admitted: 1 });
  });

  it('refuses to run when other code loaded the library first', async () => {
    assert.match(
      String(await run('loaded before')),
      /^TypeError: .* was loaded before its trust store could be emptied$/,
    );
  });

  it('refuses to continue after other code changed the variables', async () => {
    assert.deepEqual(await run('variable changed'), [
      'served',
      'TypeError: SSL_CERT_FILE or SSL_CERT_DIR was changed; QUIC would trust the system',
    ]);
  });

  it('refuses to run in a worker thread', async () => {
    assert.equal(await run('worker thread'), 'TypeError: QUIC runs in the main thread only');
  });

  it('restores its empty trust store after the store was removed or filled', async () => {
    assert.deepEqual(await run('folder gone'), ['served', 'served', true, true]);
    assert.deepEqual(await run('file filled'), ['served', 'served', true, []]);
  });

  it("gives child processes the system's trust store", async () => {
    for (const env of [
      { SSL_CERT_FILE: '/some/bundle.pem', SSL_CERT_DIR: undefined, TMPDIR: folder },
      { SSL_CERT_FILE: undefined, SSL_CERT_DIR: '/some/certs', TMPDIR: undefined },
    ]) {
      assert.deepEqual(await run('child environment', env), [true, true, true]);
    }
  });

  it('leaves no key and no root in the shared folder for temporary files', async () => {
    const env = { TMPDIR: mkdtempSync(join(folder, 'tmp-')) };
    const control = (await run('files of the library', env)) as string[];
    assert.ok(
      control.includes('http3_PID_qkey.pem') && control.includes('http3_PID_qclient-key.pem'),
      `${control}`,
    );
    assert.deepEqual(await run('files of ours', env), []);
  });
});
