// What another daemon of the fleet may do, and nobody else.

import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import type { ServerCredential } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialAdmin, NodeService } from '@palyra/rpc';
import { access, dialPeer, PeerService } from '@palyra/rpc/transport';
import { dialNodeQuic } from '@palyra/transport-quic';
import { connectNode, credentialOf } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, type FleetSettings, missingPostgres } from '../testing/fleet.ts';
import { frame, rawCall } from '../testing/raw-call.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { quic } from '../testing/test-agent.ts';

const deviceId = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const call = { deviceId, capability: 'system.info', timeoutMs: 1_000 };
const permissionDenied = '7';

describe('another daemon of the fleet', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  /** Adds a daemon with this certificate to the fleet. */
  async function addMember({ url }: FleetSettings, credential: ServerCredential) {
    const fingerprint = hash('sha256', credential.certificateChain[0]!, 'hex');
    const about = JSON.stringify({ certificates: [fingerprint] });
    await fleet.server.sql(
      url,
      `insert into daemons (id, version, endpoints, names, started_at, seen_at, about)
       select '01ARZ3NDEKTSV4RRFFQ69G5FAX', version, '[]', '[]', started_at, seen_at, '${about}' from daemons limit 1`,
    );
    return () => fleet.server.sql(url, "delete from daemons where id = '01ARZ3NDEKTSV4RRFFQ69G5FAX'");
  }

  async function play(t: TestContext) {
    const settings = await fleet.settings();
    const [daemon] = (await fleet.start(t, 1, {}, settings)) as [TestDaemon];
    const credential = await daemon.running.identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
    const dial = async () => {
      const connection = await dialPeer(daemon.nodeAddress, {
        known: knownOf(daemon),
        fingerprints: await fingerprintsOf(settings),
        credential,
      });
      daemon.closeAtEnd(connection);
      return createClient(PeerService, connection.transport);
    };
    return { settings, daemon, credential, dial };
  }

  async function fingerprintsOf({ url }: FleetSettings): Promise<string[]> {
    const rows = await fleet.server.sql(url, 'select about from daemons');
    return rows.flatMap(({ about }) => JSON.parse(String(about)).certificates);
  }

  test('may use the calls for peers, as long as it is one of the fleet', async (t) => {
    const { settings, credential, dial } = await play(t);
    const peer = await dial();
    await expectCode(peer.execute(call), 'CALLER_NOT_ALLOWED');
    const remove = await addMember(settings, credential);
    const again = await dial();
    await expectCode(again.execute(call), 'DEVICE_NOT_CONNECTED');
    assert.equal((await again.yieldChannel({ deviceId, agentId: new Uint8Array(16) })).isHeld, false);
    await remove();
    await expectCode(again.execute(call), 'CALLER_NOT_ALLOWED');
  });

  test('may use nothing else', async (t) => {
    const { settings, daemon, credential } = await play(t);
    await addMember(settings, credential);
    const { session } = await connectNode(daemon, pemOf(credential));
    for (const [method, caller] of Object.entries(access)) {
      if (caller === 'anyone' || caller === 'peer') continue;
      const { headers, trailers } = await rawCall(session, `/${method}`, frame(new Uint8Array()));
      assert.equal(headers['grpc-status'] ?? trailers['grpc-status'], permissionDenied, method);
    }
  });

  test('sends only what it may', async (t) => {
    const { settings, credential, dial } = await play(t);
    await addMember(settings, credential);
    const peer = await dial();
    const wrong = { deviceId, agentId: new Uint8Array(15) };
    await expectCode(peer.yieldChannel(wrong), 'MESSAGE_INVALID');
    await expectCode(peer.yieldChannel({ deviceId: 'x', agentId: new Uint8Array(16) }), 'DEVICE_ID_INVALID');
    await expectCode(peer.execute({ ...call, deviceId: '' }), 'DEVICE_ID_INVALID');
    await expectCode(peer.execute({ ...call, capability: '\u0007' }), 'MESSAGE_INVALID');
    await expectCode(peer.execute({ ...call, byDevice: 'x' }), 'DEVICE_ID_INVALID');
    await expectCode(peer.execute({ ...call, input: new Uint8Array(512 * 1024 + 1) }), 'MESSAGE_TOO_LARGE');
    await expectCode(peer.execute({ ...call, input: new Uint8Array(2 ** 20) }), 'MESSAGE_TOO_LARGE');
  });

  test('is not a device, and a device is not a daemon', async (t) => {
    const { daemon } = await play(t);
    const paired = await pair(daemon, await makeDevice());
    const { session, node } = await connectNode(daemon, credentialOf(paired));
    for (const method of PeerService.methods) {
      const path = `/${PeerService.typeName}/${method.name}`;
      const { headers, trailers } = await rawCall(session, path, frame(new Uint8Array()));
      assert.equal(headers['grpc-status'] ?? trailers['grpc-status'], permissionDenied, method.name);
    }
    await node.status({});
    const connection = await dialAdmin(`${daemon.home}/daemon/admin.sock`);
    daemon.closeAtEnd(connection);
    const admin = createClient(PeerService, connection.transport);
    await assert.rejects(admin.execute(call), /404/);
  });

  test('is refused over QUIC', async (t) => {
    const { settings, daemon, credential } = await play(t);
    await addMember(settings, credential);
    const quicAddress = daemon.running.listeners.find(({ name }) => name === 'quic')!.address;
    const enrollment = {
      ...knownOf(daemon),
      quicAddress,
      certificateChain: credential.certificateChain,
      tlsKey: credential.key.toPkcs8(),
    } as unknown as PairedEnrollment & { quicAddress: string };
    const over = async () => {
      const connection = await dialNodeQuic(quic, enrollment);
      daemon.closeAtEnd(connection);
      return createClient(PeerService, connection.transport).execute(call);
    };
    await expectCode(over(), 'CERTIFICATE_UNKNOWN');
  });

  test('of another authority is refused, and so is a daemon certificate where there is no fleet', async (t) => {
    const { settings, daemon } = await play(t);
    const alone = await TestDaemon.start(t);
    const foreign = await alone.running.identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
    await addMember(settings, foreign);
    const connection = await dialPeer(daemon.nodeAddress, {
      known: knownOf(daemon),
      fingerprints: await fingerprintsOf(settings),
      credential: foreign,
    });
    daemon.closeAtEnd(connection);
    await expectCode(createClient(PeerService, connection.transport).execute(call), 'CERTIFICATE_UNKNOWN');
    const { session } = await connectNode(alone, pemOf(foreign));
    const { headers } = await rawCall(session, `/${PeerService.typeName}/Execute`, frame(new Uint8Array()));
    assert.equal(headers[':status'], '404');
    const status = await rawCall(session, `/${NodeService.typeName}/Status`, frame(new Uint8Array()));
    assert.equal(status.headers['grpc-status'] ?? status.trailers['grpc-status'], '16');
  });

  test('whose certificate was revoked is refused, and one that is not the wanted daemon is not believed', async (t) => {
    const { settings, daemon, credential, dial } = await play(t);
    await addMember(settings, credential);
    const peer = await dial();
    await expectCode(peer.execute(call), 'DEVICE_NOT_CONNECTED');
    const fingerprint = hash('sha256', credential.certificateChain[0]!, 'hex');
    await fleet.server.sql(
      settings.url,
      `update certificates set state = 'revoked' where fingerprint = '${fingerprint}'`,
    );
    await expectCode((await dial()).execute(call), 'CERTIFICATE_REVOKED');
    const another = { known: knownOf(daemon), fingerprints: ['00'], credential };
    await assert.rejects(dialPeer(daemon.nodeAddress, another), { code: 'DAEMON_NOT_AUTHENTICATED' });
  });
});

function knownOf({ running }: TestDaemon) {
  const { daemonId, trustDomain, trustBundle } = running.identity;
  return { daemonId, trustDomain, trustBundle };
}

const pemOf = ({ certificateChain, key }: ServerCredential) => ({
  cert: certificatesToPem(certificateChain),
  key: key.toPem(),
});
