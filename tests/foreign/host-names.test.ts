// DNS names that the operator puts into a device's certificates. Programs that check names accept them, no device can have the
// daemon's own names, and the operator's changes survive pairing, renewal, recovery and restore.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { writeCredentialFiles } from '@palyra/agent';
import { backupHome, restoreHome } from '@palyra/daemon/home';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  type PairedEnrollment,
  type PairingDevice,
  recoverCertificate,
  renewCertificate,
} from '@palyra/identity/device';

import { chromium } from 'playwright-core';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { answer, failure, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request, sameIdOtherKey } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { missing, startNginx } from '../testing/web-server.ts';

const run = promisify(execFile);
const noNginx = missing('nginx', 'nginx-light');

const namesIn = ({ certificateChain }: PairedEnrollment): string[] =>
  (new X509Certificate(certificateChain[0]!).subjectAltName ?? '')
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice('DNS:'.length));

async function pairWith(
  daemon: TestDaemon,
  device: PairingDevice,
  hostNames: string[],
): Promise<PairedEnrollment> {
  const pending = await request(daemon, device);
  await daemon.admin.approvePairing({ id: pending.requestId, hostNames });
  return collect(daemon, device, pending);
}

async function renew(daemon: TestDaemon, device: PairingDevice, enrollment: PairedEnrollment) {
  const node = await daemon.node(enrollment);
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  await (await daemon.node(renewed)).status({});
  return renewed;
}

/** A web server with a device's certificate and names. */
async function webServer(t: TestContext) {
  const daemon = await TestDaemon.start(t);
  const folder = temporaryFolder();
  const enrollment = await pairWith(daemon, await makeDevice(), ['nas.example.net', 'files.example.net']);
  await writeCredentialFiles(join(folder, 'web'), enrollment);
  const port = await freePort();
  await startNginx(
    t,
    folder,
    port,
    // A connected browser would delay the server's end.
    'keepalive_timeout 0; ssl_certificate web/chain.pem; ssl_certificate_key web/key.pem; location / { return 200 here; }',
  );
  return { folder, port, roots: join(folder, 'web', 'bundle.pem') };
}

test('curl and openssl accept a device only under its host names', {
  skip: noNginx,
}, async (t) => {
  const { port, roots } = await webServer(t);
  const curl = (name: string) =>
    run('curl', [
      '-sS',
      '--cacert',
      roots,
      '--resolve',
      `${name}:${port}:127.0.0.1`,
      `https://${name}:${port}/`,
    ]);
  const openssl = (name: string) =>
    run('/bin/sh', [
      '-c',
      `openssl s_client -connect 127.0.0.1:${port} -CAfile "${roots}" -verify_hostname ${name} -verify_return_error </dev/null`,
    ]);
  for (const name of ['nas.example.net', 'files.example.net']) {
    assert.equal((await curl(name)).stdout, 'here', name);
    assert.match((await openssl(name)).stdout, /Verify return code: 0 \(ok\)/, name);
  }
  for (const name of ['other.example.net', 'example.net', 'a.nas.example.net', 'localhost']) {
    await assert.rejects(
      curl(name),
      /no alternative certificate subject name matches|certificate subject name/,
      name,
    );
    await assert.rejects(openssl(name), /hostname mismatch/i, name);
  }
});

test('a browser that trusts the root accepts a device only under its host name', {
  skip: noNginx,
}, async (t) => {
  const { folder, port, roots } = await webServer(t);
  const database = join(folder, '.pki', 'nssdb');
  await run('mkdir', ['-p', database]);
  await run('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
  await run('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'palyra', '-i', roots]);
  const browser = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: '/usr/bin/chromium',
    env: { ...process.env, HOME: folder } as Record<string, string>,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--host-resolver-rules=MAP *.example.net 127.0.0.1',
    ],
  });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`https://nas.example.net:${port}/`);
  assert.equal(await page.textContent('body'), 'here');
  await assert.rejects(page.goto(`https://other.example.net:${port}/`), /ERR_CERT_COMMON_NAME_INVALID/);
});

test('an invalid name or one of the daemon’s names is refused, and changes nothing', async (t) => {
  const daemon = await TestDaemon.start(t, { names: { dns: ['Gate.Example.net'], ip: [] } });
  const device = await makeDevice();
  const { id } = device.identity;
  await pairWith(daemon, device, ['nas.example.net']);
  const { trustDomain } = daemon.running;
  const tooMany = Array.from({ length: 17 }, (_, number) => `name-${number}.example.net`);
  for (const bad of [
    '',
    '*.example.net',
    '*',
    '.',
    'nas.example.net.',
    '-nas.example.net',
    'nas..example.net',
    'nas_.example.net',
    '192.0.2.1',
    '::1',
    '2130706433',
    'nas.example.net:443',
    'https://nas.example.net',
    'bücher.example',
    'nas.example.net, DNS:bank.example',
    'nas.example.net\0.bank.example',
    ' nas.example.net',
    `${'a'.repeat(64)}.example`,
    `${'a.'.repeat(126)}aa`,
    'localhost',
    'LOCALHOST',
    trustDomain,
    trustDomain.toUpperCase(),
    'gate.example.net',
  ]) {
    const { message } = await expectCode(
      daemon.admin.setHostNames({ id, hostNames: [bad] }),
      'MESSAGE_INVALID',
    );
    assert.match(message, /is not a DNS name|is the daemon's own name/, bad);
  }
  await expectCode(daemon.admin.setHostNames({ id, hostNames: tooMany }), 'MESSAGE_INVALID');
  const pending = await request(daemon, await makeDevice());
  const approval = daemon.admin.approvePairing({ id: pending.requestId, hostNames: [trustDomain] });
  await expectCode(approval, 'MESSAGE_INVALID');
  const { device: shown } = await daemon.admin.getDevice({ id });
  assert.deepEqual(shown?.hostNames, ['nas.example.net']);
});

test('host names survive renewals, and the operator’s changes and removals are audited', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { id } = device.identity;
  const first = await pairWith(daemon, device, ['nas.example.net', 'Files.example.net', 'nas.example.net']);
  assert.deepEqual(namesIn(first), ['files.example.net', 'nas.example.net']);
  const second = await renew(daemon, device, first);
  assert.deepEqual(namesIn(second), ['files.example.net', 'nas.example.net']);
  await daemon.admin.setHostNames({ id, hostNames: ['media.example.net'] });
  const third = await renew(daemon, device, second);
  assert.deepEqual(namesIn(third), ['media.example.net']);
  // A device that pairs again with its own key keeps its names.
  assert.deepEqual(namesIn(await pair(daemon, device)), ['media.example.net']);
  await daemon.admin.setHostNames({ id, hostNames: [] });
  const fourth = await pair(daemon, device);
  assert.deepEqual(namesIn(fourth), []);
  const { entries } = await daemon.admin.listAudit({ subject: id, limit: 100 });
  const names = entries
    .filter(({ action }) => action === 'device.host_names_changed')
    .map(({ detailJson }) => JSON.parse(detailJson).host_names);
  assert.deepEqual(names.reverse(), ['files.example.net,nas.example.net', 'media.example.net', '']);
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a recovered certificate has the host names too', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pairWith(daemon, device, ['nas.example.net']);
  const { renewals } = daemon.running.identity;
  const channel = { channelBinding: new Uint8Array(32), source: '192.0.2.9' };
  const recovered = await recoverCertificate(device, enrollment, {
    channelBinding: channel.channelBinding,
    challenge: async () => renewals.challenge(channel),
    recover: (proven) => renewals.recover(channel, proven),
  });
  assert.deepEqual(namesIn(recovered), ['nas.example.net']);
});

test('another key under the id of a device does not get its host names', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pairWith(daemon, device, ['nas.example.net']);
  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  assert.deepEqual(namesIn(await pair(daemon, other, { replaceIdentityKey: true })), []);
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a name that is removed while a certificate is being made is not in that certificate', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { identity } = daemon.running;
  const enrollment = await pairWith(daemon, device, ['nas.example.net']);
  const node = await daemon.node(enrollment);
  const { transact } = identity.registry;
  let isTaken = false;
  // The certificate is already signed when it is stored.
  t.mock.method(
    identity.registry,
    'transact',
    async function (this: typeof identity.registry, ...args: [never]) {
      if (!isTaken) {
        isTaken = true;
        await identity.setHostNames(device.identity.id, []);
      }
      return transact.apply(this, args);
    },
  );
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  assert.equal(isTaken, true);
  assert.deepEqual(namesIn(renewed), []);
});

test('a name that becomes the daemon’s own leaves the device with its next certificate', async (t) => {
  const home = temporaryFolder();
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { home, ports });
  const device = await makeDevice();
  const enrollment = await pairWith(daemon, device, ['gate.example.net', 'nas.example.net']);
  await daemon.stop();
  const again = await TestDaemon.start(t, { home, ports, names: { dns: ['gate.example.net'], ip: [] } });
  assert.deepEqual(namesIn(await renew(again, device, enrollment)), ['nas.example.net']);
});

test('a restore does not bring back a host name that was removed since the backup', async (t) => {
  const folder = temporaryFolder();
  const [home, file] = [join(folder, 'home'), join(folder, 'backup.age')];
  const passphrase = 'correct horse battery';
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { home, ports });
  const device = await makeDevice();
  const { id } = device.identity;
  await pairWith(daemon, device, ['files.example.net', 'nas.example.net']);
  await backupHome(home, file, passphrase, { scryptLogN: 10 });
  await daemon.admin.setHostNames({ id, hostNames: ['media.example.net', 'nas.example.net'] });
  await daemon.stop();
  await restoreHome(home, { file, passphrase });
  const again = await TestDaemon.start(t, { home, ports });
  assert.deepEqual((await again.admin.getDevice({ id })).device?.hostNames, ['nas.example.net']);
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('a device with host names cannot pass for a daemon, and its chain is judged like any other', async (t) => {
  const daemon = await TestDaemon.start(t);
  const enrollment = await pairWith(daemon, await makeDevice(), ['nas.example.net']);
  const { leaf } = daemon.running.identity.chainJudge.judge(enrollment.certificateChain);
  assert.equal(leaf.spiffeId.kind, 'device');
  assert.deepEqual(leaf, readPeerCertificate(enrollment.certificateChain[0]!));
  const x509 = new X509Certificate(enrollment.certificateChain[0]!);
  for (const name of [daemon.running.trustDomain, 'localhost']) assert.equal(x509.checkHost(name), undefined);
});

test('the daemon’s own certificate has the configured names and the public one', async (t) => {
  const daemon = await TestDaemon.start(t, {
    names: { dns: ['Gate.example.net'], ip: ['192.0.2.7'] },
    endpoints: { pairing: ['palyra.example.net:7443'] },
  });
  const [host, port] = daemon.pairingAddress.includes('example')
    ? ['127.0.0.1', daemon.running.listeners.find(({ name }) => name === 'pairing')!.address.split(':')[1]!]
    : daemon.pairingAddress.split(':');
  const ca = daemon.trustBundle.map((der) => new X509Certificate(der).toString());
  const connect = (servername: string) =>
    new Promise<void>((resolve, reject) => {
      const socket = tls.connect(
        { host: host!, port: Number(port), ca, servername, ALPNProtocols: ['h2'] },
        () => {
          socket.destroy();
          resolve();
        },
      );
      socket.once('error', reject);
    });
  for (const name of ['gate.example.net', 'palyra.example.net', daemon.running.trustDomain, 'localhost'])
    await connect(name);
  await assert.rejects(connect('other.example.net'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

test('the operator sets host names with palyra, and `devices` shows them', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { home } = daemon;
  const device = await makeDevice();
  const { id } = device.identity;
  const pending = await request(daemon, device);
  const names = ['--host-name', 'nas.example.net', '--host-name', 'files.example.net'];
  await answer(['pairing', 'approve', pending.requestId, ...names], { home });
  const both = ['files.example.net', 'nas.example.net'];
  assert.deepEqual(namesIn(await collect(daemon, device, pending)), both);
  assert.deepEqual((await answer(['devices', 'show', id], { home })).host_names, both);
  const { devices } = await answer(['devices', 'list'], { home });
  assert.deepEqual((devices as { host_names: string[] }[])[0]?.host_names, both);
  await failure(palyra(['devices', 'set-host-names', id, 'localhost'], { home }), {
    code: 'MESSAGE_INVALID',
    exitCode: 2,
  });
  const changed = await answer(['devices', 'set-host-names', id, 'media.example.net'], { home });
  assert.deepEqual(changed.host_names, ['media.example.net']);
  assert.deepEqual((await answer(['devices', 'set-host-names', id], { home })).host_names, []);
});
