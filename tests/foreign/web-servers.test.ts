// Web servers that verify devices themselves, and one that serves with a device's certificate: docs/operations.md,
// "Other programs".

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { writeCredentialFiles } from '@palyra/agent';
import { freePort } from '../testing/free-port.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';
import { ask, missing, nginxReload, startHaproxy, startNginx } from '../testing/web-server.ts';

const run = promisify(execFile);
const noNginx = missing('nginx', 'nginx-light');
const noHaproxy = missing('haproxy', 'haproxy');
const patient = { timeout: 120_000 };

/** A daemon that publishes, two devices with their files, and a third whose certificate the web server shows. */
async function scene(t: TestContext) {
  const daemon = await TestDaemon.start(t, { publish: { port: 0 } });
  const folder = temporaryFolder();
  const device = async (name: string) => {
    const made = await makeDevice({ name });
    const enrollment = await pair(daemon, made);
    await (await daemon.node(enrollment)).status({});
    const files = join(folder, name);
    await writeCredentialFiles(files, enrollment);
    const read = (file: string) => readFile(join(files, file), 'utf8');
    return {
      id: made.identity.id,
      serial: new X509Certificate(enrollment.certificateChain[0]!).serialNumber.toLowerCase(),
      tls: { ca: await read('bundle.pem'), cert: await read('chain.pem'), key: await read('key.pem') },
    };
  };
  const devices = { good: await device('good'), bad: await device('bad'), server: await device('server') };
  const { address } = daemon.running.listeners.find(({ name }) => name === 'publish')!;
  /** As the timer of the recipe does. */
  const fetchLists = () =>
    run('curl', [
      '-fsS',
      '-o',
      join(folder, 'crl.pem'),
      `${address}/crl.pem`,
      '-o',
      join(folder, 'bundle.pem'),
      `${address}/bundle.pem`,
    ]);
  await fetchLists();
  return { daemon, folder, fetchLists, port: await freePort(), ...devices };
}

/** As docs/operations.md has it. */
const forDevices = `
  ssl_certificate server/chain.pem; ssl_certificate_key server/key.pem;
  ssl_verify_client on; ssl_client_certificate bundle.pem; ssl_crl crl.pem;
  location / { return 200 $ssl_client_serial; }`;

test('nginx serves valid devices, and refuses a revoked one once it has the new list', {
  ...patient,
  skip: noNginx,
}, async (t) => {
  const { daemon, folder, fetchLists, port, good, bad, server } = await scene(t);
  await startNginx(t, folder, port, forDevices);
  for (const device of [good, bad]) {
    const { status, body, serverSerial } = await ask(port, device.tls);
    assert.deepEqual({ status, body: body.toLowerCase() }, { status: 200, body: device.serial });
    assert.equal(serverSerial, server.serial);
  }
  assert.match((await ask(port, { ca: good.tls.ca })).body, /No required SSL certificate/);

  await daemon.admin.revokeDevice({ id: bad.id, reason: 'lost' });
  await fetchLists();
  await run('/bin/sh', ['-c', nginxReload(folder)]);
  // A worker that is on its way out can still take a connection after the new one has refused one.
  const refused = await until('the new list', async () => {
    const answer = await ask(port, bad.tls);
    return answer.status !== 200 && answer;
  });
  assert.equal(refused.status, 400);
  assert.match(refused.body, /The SSL certificate error/);
  assert.equal((await ask(port, good.tls)).status, 200);
});

test('nginx refuses everybody when it lacks the list of one authority', {
  ...patient,
  skip: noNginx,
}, async (t) => {
  const { folder, port, good } = await scene(t);
  const lists = (await readFile(join(folder, 'crl.pem'), 'utf8')).split(/(?<=-----END X509 CRL-----\n)/);
  assert.equal(lists.length, 2, 'of the issuing CA and of the root');
  await writeFile(join(folder, 'crl.pem'), lists[0]!);
  await startNginx(t, folder, port, forDevices);
  assert.equal((await ask(port, good.tls)).status, 400);
});

test('HAProxy serves valid devices, and refuses a revoked one once it has the new list', {
  ...patient,
  skip: noHaproxy,
}, async (t) => {
  const { daemon, folder, fetchLists, port, good, bad, server } = await scene(t);
  await writeFile(join(folder, 'server.pem'), `${server.tls.cert}${server.tls.key}`, { mode: 0o600 });
  const at = (file: string) => join(folder, file);
  const { reload } = await startHaproxy(
    t,
    folder,
    port,
    `crt ${at('server.pem')} verify required ca-file ${at('bundle.pem')} crl-file ${at('crl.pem')}`,
  );
  for (const device of [good, bad])
    assert.equal((await ask(port, device.tls)).body.toLowerCase(), device.serial);
  await assert.rejects(ask(port, { ca: good.tls.ca }), /certificate required/);

  await daemon.admin.revokeDevice({ id: bad.id, reason: 'lost' });
  await fetchLists();
  reload();
  const isServed = () =>
    ask(port, bad.tls).then(
      () => true,
      (error) => (/certificate revoked/.test(error.message) ? false : Promise.reject(error)),
    );
  await until('the new list', async () => !(await isServed()));
  assert.equal((await ask(port, good.tls)).status, 200);
});
