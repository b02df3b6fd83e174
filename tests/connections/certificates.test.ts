// The node listener refuses every certificate except a current one of a valid device.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { IdentityErrorCode } from '@palyra/identity';
import {
  certificatesToPem,
  daemonSpiffeId,
  deviceSpiffeId,
  readPeerCertificate,
} from '@palyra/identity/certificate';
import { CertificateState } from '@palyra/rpc/admin';
import { type BareConnection, type Credential, connectNode, credentialOf } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute } from '../testing/held-clock.ts';
import { daemonWithKnownKey, issueUnregistered, issueWithNames } from '../testing/issuing-key.ts';
import { selfSigned } from '../testing/lying-daemon.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

const inadequateSecurity = 12;

/** The connection ends before any call is read, and both errors name the certificate. */
async function expectNoEntry(daemon: TestDaemon, credential: Credential): Promise<void> {
  const connection = await connectNode(daemon, credential);
  const goaway = once(connection.session, 'goaway');
  const { message } = await expectCode(register(connection), 'CERTIFICATE_UNKNOWN');
  const [code, , reason] = await goaway;
  assert.equal(code, inadequateSecurity);
  assert.equal(String(reason), message);
  await connection.closed;
}

/** The peer gets one answer with the reason, and the connection closes. */
async function expectRefusal(
  daemon: TestDaemon,
  credential: Credential,
  code: IdentityErrorCode,
): Promise<void> {
  const connection = await connectNode(daemon, credential);
  const error = await expectCode(register(connection), code);
  assert.ok(error.message.length > 20, 'the message says what to do');
  await connection.closed;
}

/** A call with a visible effect when it reaches its handler. */
function register(connection: BareConnection): Promise<unknown> {
  return connection.node.register({ platform: 'trace of a refused call', capabilities: [] });
}

/** A daemon with one good device, which no other peer may change. */
async function daemonWithGoodDevice(t: TestContext, options: TestDaemonOptions = {}) {
  const daemon = await TestDaemon.start(t, options);
  return { daemon, ...(await addGoodDevice(daemon, options)) };
}

async function addGoodDevice(daemon: TestDaemon, { clock }: TestDaemonOptions = {}) {
  const good = await makeDevice({ name: 'good', ...(clock && { clock }) });
  const paired = await pair(daemon, good);
  const connection = await daemon.node(paired);
  await connection.status({});
  return {
    good,
    paired,
    undisturbed: async () => {
      await connection.status({});
      await (await daemon.node(paired)).status({});
      const { devices } = await daemon.admin.listDevices({});
      for (const device of devices) assert.notEqual(device.platform, 'trace of a refused call');
    },
  };
}

test('no certificate: an alert says so before HTTP/2 begins', async (t) => {
  const { daemon, undisturbed } = await daemonWithGoodDevice(t);
  const connection = await connectNode(daemon);
  const error = new Promise<NodeJS.ErrnoException>((resolve) => connection.socket.once('error', resolve));
  let begun = false;
  connection.session.once('remoteSettings', () => {
    begun = true;
  });
  await assert.rejects(register(connection));
  await connection.closed;
  assert.equal((await error).code, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
  assert.equal(begun, false);
  await undisturbed();
});

test('a self-signed certificate: no entry', async (t) => {
  const { daemon, undisturbed } = await daemonWithGoodDevice(t);
  await expectNoEntry(daemon, await selfSigned());
  await undisturbed();
});

test('a certificate of another CA, even one with the same trust domain: no entry', async (t) => {
  const trustDomain = 'palyra-abcdefghij.internal';
  const { daemon, good, undisturbed } = await daemonWithGoodDevice(t, { trustDomain });
  const twin = await TestDaemon.start(t, { trustDomain });
  const other = await TestDaemon.start(t);
  for (const foreign of [twin, other]) {
    const device = await makeDevice({ identity: good.identity });
    const credential = credentialOf(await pair(foreign, device));
    await expectNoEntry(daemon, credential);
    // Not even with the daemon's own issuing CA in the chain.
    const leaf = credential.cert.slice(0, credential.cert.indexOf('-----END CERTIFICATE-----') + 26);
    const { authorities } = await daemon.admin.getAuthority({});
    const ours = certificatesToPem(authorities.map((each) => each.certificate));
    await expectNoEntry(daemon, { cert: leaf + ours, key: credential.key });
  }
  await undisturbed();
});

test('our own client gets the code for a foreign certificate on every call', async (t) => {
  const { daemon, paired, undisturbed } = await daemonWithGoodDevice(t);
  const foreign = await pair(await TestDaemon.start(t), await makeDevice());
  const { certificateChain, tlsKey } = foreign;
  const client = await daemon.node({ ...paired, certificateChain, tlsKey });
  await expectCode(client.status({}), 'CERTIFICATE_UNKNOWN');
  await client.closed;
  await expectCode(client.status({}), 'CERTIFICATE_UNKNOWN');
  await undisturbed();
});

test('the key of another certificate: the handshake fails', async (t) => {
  const { daemon, paired, undisturbed } = await daemonWithGoodDevice(t);
  const other = credentialOf(await pair(daemon, await makeDevice()));
  const { cert } = credentialOf(paired);
  await assert.rejects(connectNode(daemon, { cert, key: other.key }), /key values mismatch/);
  await undisturbed();
});

test('a certificate of our CA that was never registered: CERTIFICATE_UNKNOWN', async (t) => {
  const { daemon, key } = await daemonWithKnownKey(t);
  const { good, undisturbed } = await addGoodDevice(daemon);
  await expectRefusal(daemon, await issueUnregistered(key, good.identity.id), 'CERTIFICATE_UNKNOWN');
  await undisturbed();
});

test('a certificate that our CA signed in a form that it never issues: no entry', async (t) => {
  const { daemon, key } = await daemonWithKnownKey(t);
  const { good, undisturbed } = await addGoodDevice(daemon);
  const { trustDomain, daemonId } = daemon.running;
  const own = deviceSpiffeId(trustDomain, good.identity.id);
  for (const uris of [
    [own, own.replace(/.$/, '0')],
    [own, own],
    [deviceSpiffeId('palyra-aaaaaaaaaa.internal', good.identity.id)],
    [daemonSpiffeId(trustDomain, daemonId as typeof good.identity.id)],
    [`spiffe://${trustDomain}`],
    [own.toLowerCase()],
    ['https://example.com/'],
  ]) {
    await expectNoEntry(daemon, await issueWithNames(key, uris));
  }
  await undisturbed();
});

test("the daemon's own certificate as a client's: CERTIFICATE_UNKNOWN", async (t) => {
  const { daemon, undisturbed } = await daemonWithGoodDevice(t);
  const own = await daemon.running.identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
  const credential = { cert: certificatesToPem(own.certificateChain), key: own.key.toPem() };
  await expectRefusal(daemon, credential, 'CERTIFICATE_UNKNOWN');
  await undisturbed();
});

test('a revoked certificate: CERTIFICATE_REVOKED, and the device may pair again', async (t) => {
  const { daemon, undisturbed } = await daemonWithGoodDevice(t);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  const { serial } = await (await daemon.node(paired)).status({});
  await daemon.admin.revokeCertificate({ serial, reason: 'copied' });
  await expectRefusal(daemon, credentialOf(paired), 'CERTIFICATE_REVOKED');
  await (await daemon.node(await pair(daemon, device))).status({});
  await undisturbed();
});

test('a revoked device: DEVICE_REVOKED, with every certificate it has', async (t) => {
  const { daemon, undisturbed } = await daemonWithGoodDevice(t);
  const device = await makeDevice();
  const used = await pair(daemon, device);
  await (await daemon.node(used)).status({});
  const unused = await pair(daemon, device);
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await expectRefusal(daemon, credentialOf(used), 'DEVICE_REVOKED');
  await expectRefusal(daemon, credentialOf(unused), 'DEVICE_REVOKED');
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  const { serial } = readPeerCertificate(unused.certificateChain[0]!);
  const unusedNow = certificates.find((each) => each.serial === serial);
  assert.ok(
    unusedNow && unusedNow.state !== CertificateState.ACTIVE,
    'a refused connection activates nothing',
  );
  await undisturbed();
});

test('a superseded certificate: CERTIFICATE_SUPERSEDED', async (t) => {
  const { daemon, undisturbed } = await daemonWithGoodDevice(t);
  const device = await makeDevice();
  const old = await pair(daemon, device);
  await (await daemon.node(old)).status({});
  await (await daemon.node(await pair(daemon, device))).status({});
  await expectRefusal(daemon, credentialOf(old), 'CERTIFICATE_SUPERSEDED');
  await undisturbed();
});

test("an expired certificate, by the daemon's clock alone: CERTIFICATE_EXPIRED", async (t) => {
  const clock = new HeldClock();
  const { daemon } = await daemonWithGoodDevice(t, { clock });
  const paired = await pair(daemon, await makeDevice({ clock }));
  clock.advance(day + minute);
  await expectRefusal(daemon, credentialOf(paired), 'CERTIFICATE_EXPIRED');
  await (await addGoodDevice(daemon, { clock })).undisturbed();
});

test('a certificate that TLS finds expired, too: CERTIFICATE_EXPIRED', async (t) => {
  const clock = new HeldClock();
  clock.advance(-2 * day);
  const daemon = await TestDaemon.start(t, { clock });
  const paired = await pair(daemon, await makeDevice({ clock }));
  clock.advance(2 * day);
  await expectRefusal(daemon, credentialOf(paired), 'CERTIFICATE_EXPIRED');
  await (await addGoodDevice(daemon, { clock })).undisturbed();
});

test('a certificate that is not valid yet: CERTIFICATE_NOT_YET_VALID', async (t) => {
  const clock = new HeldClock();
  const { daemon, undisturbed } = await daemonWithGoodDevice(t, { clock });
  clock.advance(2 * hour);
  const paired = await pair(daemon, await makeDevice({ clock }));
  clock.advance(-2 * hour);
  await expectRefusal(daemon, credentialOf(paired), 'CERTIFICATE_NOT_YET_VALID');
  await undisturbed();
});
