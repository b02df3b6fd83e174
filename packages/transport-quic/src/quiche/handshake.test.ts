// Which peers complete a handshake, and the limits on handshakes.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { after, before, describe, it } from 'node:test';
import type { QuicConnectOptions } from '@currentspace/http3';
import { until } from '../../../../tests/testing/until.ts';
import { toCloseNumber } from '../../../rpc/src/streams/close-code.ts';
import type {
  ClientTlsConfig,
  ServerConnection,
  StreamListener,
  StreamRefusal,
} from '../../../rpc/src/streams/contract.ts';
import { ask, deferred, echo, rejectsWith } from '../../../rpc/src/testing/contract-suite.ts';
import { createPki, type Pki } from '../../../rpc/src/testing/pki.ts';
import type { QuicListenOptions } from '../contract.ts';
import { forgeCloses } from '../testing/forged-close.ts';
import { connectRaw } from '../testing/raw-client.ts';
import { UdpRelay } from '../testing/udp-relay.ts';
import { loadLibrary, quicTraffic } from './library.ts';
import { createQuic } from './quic.ts';
import type { QuicheRuntime } from './runtime.ts';

for (const runtime of ['portable', 'fast'] satisfies QuicheRuntime[]) {
  describe(`QUIC handshake: ${runtime}`, () => {
    const quic = createQuic({ runtime });
    const host = '127.0.0.1';
    let pki: Pki;
    let foreign: Pki;
    const listeners: StreamListener[] = [];

    before(async () => {
      pki = await createPki();
      // A daemon with the same names under another root.
      foreign = await createPki();
    });
    after(async () => {
      for (const listener of listeners) await listener.close();
    });

    async function listen(options: Partial<QuicListenOptions> = {}): Promise<StreamListener> {
      const listener = await quic.listen({
        host,
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: echo,
        ...options,
      });
      listeners.push(listener);
      return listener;
    }

    const dial = (port: number, tls: ClientTlsConfig = pki.clientTls) => quic.dial({ host, port, tls });

    const rawDial = (port: number, options: QuicConnectOptions = {}) =>
      connectRaw(pki, port, runtime, options);

    it('refuses a daemon of another root with the same names', async () => {
      const { port } = await listen({ tls: { ...foreign.serverTls, clientRoots: pki.rootPem } });
      await rejectsWith(dial(port), 'DAEMON_NOT_AUTHENTICATED');
    });

    it('refuses a daemon of another trust domain', async () => {
      const { port } = await listen();
      await rejectsWith(
        dial(port, { ...pki.clientTls, trustDomain: 'other.internal' }),
        'DAEMON_NOT_AUTHENTICATED',
      );
    });

    it('refuses a device that poses as its daemon', async () => {
      const device = await pki.issueDevice();
      const { port } = await listen({ tls: { ...device, clientRoots: pki.rootPem } });
      await rejectsWith(dial(port), 'DAEMON_NOT_AUTHENTICATED');
    });

    it('refuses a daemon whose certificate has expired, and does not report a clock error', async () => {
      const old = await createPki(pki.trustDomain, new Date(Date.now() - 30 * 24 * 3600 * 1000));
      const { port } = await listen({ tls: old.serverTls });
      const device = await pki.issueDevice();
      await rejectsWith(
        dial(port, { ...device, pinnedRoot: old.rootPem, trustDomain: pki.trustDomain }),
        'DAEMON_NOT_AUTHENTICATED',
      );
    });

    it('refuses a device of another root, and tells it why', async () => {
      let asked = 0;
      const { port } = await listen({ admit: async () => void asked++ });
      const connection = await dial(port, {
        ...foreign.device,
        pinnedRoot: pki.rootPem,
        trustDomain: pki.trustDomain,
      });
      assert.equal((await connection.closed)?.code, 'CERTIFICATE_UNKNOWN');
      assert.equal(asked, 0);
    });

    it('refuses an expired device, and tells it why', async () => {
      let asked = 0;
      const twoDays = 2 * 24 * 3600 * 1000;
      const old = await createPki(pki.trustDomain, new Date(Date.now() - twoDays));
      const { port } = await listen({ tls: old.serverTls, admit: async () => void asked++ });
      const connection = await dial(port, old.clientTls);
      assert.equal((await connection.closed)?.code, 'CERTIFICATE_EXPIRED');
      assert.equal(asked, 0);
    });

    it('does not report a certificate as expired when it is not valid yet by either clock', async (t) => {
      let asked = 0;
      const day = 24 * 3600 * 1000;
      const early = await createPki(pki.trustDomain, new Date(Date.now() + day));
      const { port } = await listen({
        tls: { ...pki.serverTls, clientRoots: early.rootPem },
        admit: async () => void asked++,
      });
      const closed = async () => {
        const connection = await dial(port, { ...early.clientTls, pinnedRoot: pki.rootPem });
        return connection.closed;
      };
      const error = await closed();
      assert.equal(error?.code, 'CERTIFICATE_NOT_YET_VALID');
      assert.doesNotMatch(error.message, /expired/);
      t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 1.5 * day });
      assert.equal((await closed())?.code, 'CLOCK_SKEW');
      t.mock.timers.setTime(Date.now() + 10 * day);
      assert.equal((await closed())?.code, 'CERTIFICATE_EXPIRED');
      assert.equal(asked, 0);
    });

    it('refuses a client without a certificate, and tells it why', async () => {
      let asked = 0;
      const { port } = await listen({ admit: async () => void asked++ });
      const closed = deferred<{ errorCode: number; reason: string }>();
      const session = rawDial(port, { cert: undefined, key: undefined } as never);
      session.on('close', closed.resolve);
      assert.equal((await closed.promise).reason, 'client certificate required');
      assert.equal(asked, 0);
    });

    it('ignores the reason of a close before the handshake, which anyone on the path can forge', async () => {
      const forger = await forgeCloses(toCloseNumber('DEVICE_REVOKED'), 'This device was revoked.');
      await rejectsWith(dial(forger.port), 'UNREACHABLE');
      forger.close();
    });

    it('supports only one protocol', async () => {
      const server = loadLibrary().createQuicServer({
        cert: pki.daemon.certificateChain,
        key: pki.daemon.privateKey,
        alpn: ['palyra/2'],
        runtimeMode: runtime,
      });
      const { port } = await server.listen(0, host);
      await rejectsWith(dial(port), 'VERSION_UNSUPPORTED');
      await server.close();
    });

    it('gives the daemon the certificate in a resumed session too', async () => {
      const seen: ServerConnection[] = [];
      const { port } = await listen({ admit: async (connection) => void seen.push(connection) });
      const ticket = deferred<Buffer>();
      const first = rawDial(port);
      first.on('sessionTicket', ticket.resolve);
      const sessionTicket = await ticket.promise;
      await first.close();
      // A thief of the ticket, without the key.
      const second = rawDial(port, {
        sessionTicket,
        allow0RTT: true,
        cert: undefined,
        key: undefined,
      } as never);
      await second.ready();
      await until('both connections', () => seen.length === 2);
      assert.deepEqual(Buffer.from(seen[1]!.peerChain[0]!), Buffer.from(pki.device.der));
      await second.close();
    });

    it('verifies the source address before it starts a handshake, unless configured otherwise', async () => {
      for (const [dangerouslySkipAddressValidation, expected] of [
        [false, retry],
        [true, initial],
      ] as const) {
        const relay = await UdpRelay.to((await listen({ dangerouslySkipAddressValidation })).port);
        const connection = await dial(relay.port);
        assert.equal(packetType(relay.fromServer[0]!), expected);
        connection.close();
        relay.close();
      }
    });

    it('counts incoming datagrams and started handshakes', async () => {
      const { port } = await listen();
      const before = quicTraffic();
      const socket = createSocket('udp4');
      for (let count = 0; count < 10; count += 1) socket.send(new Uint8Array(1200).fill(0xff), port, host);
      await until('ten datagrams', () => quicTraffic().datagrams >= before.datagrams + 10);
      socket.close();
      assert.equal(quicTraffic().handshakes, before.handshakes);
      (await dial(port)).close();
      assert.equal(quicTraffic().handshakes, before.handshakes + 1);
    });

    it('follows a client after its NAT assigned another port', async () => {
      const relay = await UdpRelay.to((await listen()).port);
      const connection = await dial(relay.port);
      assert.equal(await ask(connection, 'before'), 'before');
      await relay.rebind();
      assert.equal(await ask(connection, 'after'), 'after');
      connection.close();
      relay.close();
    });

    // If this fails, the library has learned to follow. Then update docs/quic.md section 5.
    it('notices when a NAT assigned a third port, which the library does not follow', async () => {
      const relay = await UdpRelay.to((await listen()).port);
      const limits = { idleTimeoutMs: 2_000 };
      const connection = await quic.dial({
        host,
        port: relay.port,
        tls: pki.clientTls,
        limits,
        keepAliveMs: 100,
      });
      await relay.rebind();
      assert.equal(await ask(connection, 'second'), 'second');
      await relay.rebind();
      await rejectsWith(ask(connection, 'third'), 'UNREACHABLE');
      assert.equal((await connection.closed)?.code, 'UNREACHABLE');
      const again = await dial(relay.port);
      assert.equal(await ask(again, 'again'), 'again');
      again.close();
      relay.close();
    });

    it('delivers all data over a path that loses packets in both directions', async () => {
      const relay = await UdpRelay.to((await listen()).port);
      const connection = await dial(relay.port);
      relay.passes = (packet) => packet % 7 !== 0;
      relay.returns = (packet) => packet % 5 !== 0;
      const questions = Array.from({ length: 10 }, (_, i) => `${i}`.repeat(20_000));
      assert.deepEqual(await Promise.all(questions.map((question) => ask(connection, question))), questions);
      connection.close();
      relay.close();
    });

    it('ends incomplete handshakes long before the idle timeout', async () => {
      const limits = {
        maxConnections: 1,
        maxHandshakes: 1,
        handshakeTimeoutMs: 1_000,
        idleTimeoutMs: 600_000,
      };
      const refused: StreamRefusal[] = [];
      const { port } = await listen({ limits, onRefused: (reason) => refused.push(reason) });
      // Two clients that answer the Retry and then stay silent take all places.
      const relays = [await UdpRelay.to(port), await UdpRelay.to(port)];
      const stuck = relays.map((relay) => {
        relay.passes = (packet) => packet < 2;
        return rawDial(relay.port, { connectTimeoutMs: 60_000 });
      });
      for (const relay of relays)
        await until('the answer to a ClientHello', () =>
          relay.fromServer.some((first) => packetType(first) === initial),
        );
      const tryDial = () =>
        quic.dial({ host, port, tls: pki.clientTls, limits: { handshakeTimeoutMs: 1_000 } });
      await rejectsWith(tryDial(), 'UNREACHABLE');

      const connection = await until('free places', () => tryDial().catch(() => undefined));
      assert.ok(refused.includes('handshake_timeout'));
      connection.close();
      for (const session of stuck) await session.close();
      for (const relay of relays) relay.close();
    });

    it('ends the connection of a client that opens a stream of another kind', async () => {
      const { port } = await listen();
      const closed = deferred<{ reason: string }>();
      const session = rawDial(port);
      session.on('close', closed.resolve);
      await session.ready();
      const { _eventLoop: loop } = session as unknown as {
        _eventLoop: { streamSend(id: number, data: Buffer, end: boolean): number };
      };
      // Id 2: the first unidirectional stream of a client (RFC 9000 2.1).
      loop.streamSend(2, Buffer.from('x'), false);
      assert.equal((await closed.promise).reason, 'Only bidirectional streams carry calls.');
    });

    it('reports a connection as gone after silence', async () => {
      const admitted = deferred<ServerConnection>();
      const { port } = await listen({ admit: async (connection) => admitted.resolve(connection) });
      const relay = await UdpRelay.to(port);
      const connection = await quic.dial({
        host,
        port: relay.port,
        tls: pki.clientTls,
        limits: { idleTimeoutMs: 1_500 },
      });
      const server = await admitted.promise;
      relay.close();
      assert.equal((await connection.closed)?.code, 'UNREACHABLE');
      assert.equal((await server.closed)?.code, 'UNREACHABLE');
    });

    it('keeps an idle connection alive', async () => {
      const { port } = await listen({ limits: { idleTimeoutMs: 3_000 } });
      const connection = await quic.dial({ host, port, tls: pki.clientTls, keepAliveMs: 100 });
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      assert.equal(await ask(connection, 'still'), 'still');
      connection.close();
    });

    it('refuses unusable certificates with a clear error', async () => {
      const other = await pki.issueDevice();
      const mixed = { ...pki.serverTls, privateKey: other.privateKey };
      await rejectsWith(listen({ tls: mixed }), 'CERTIFICATE_INVALID');
      const { port } = await listen();
      await rejectsWith(
        dial(port, { ...pki.clientTls, privateKey: other.privateKey }),
        'CERTIFICATE_INVALID',
      );
      await rejectsWith(dial(port, { ...pki.clientTls, pinnedRoot: 'no PEM' }), 'CERTIFICATE_INVALID');
    });

    it('listens on IPv6', async () => {
      const { port } = await listen({ host: '::1' });
      const connection = await quic.dial({ host: '::1', port, tls: pki.clientTls });
      assert.equal(await ask(connection, 'six'), 'six');
      connection.close();
    });

    it('reports that it cannot listen, or that a name does not exist', async () => {
      await rejectsWith(listen({ host: 'not an address' }), 'UNREACHABLE');
      await rejectsWith(quic.dial({ host: 'nothing.invalid', port: 1, tls: pki.clientTls }), 'UNREACHABLE');
    });

    it('stops dialling on an abort', async () => {
      const signal = AbortSignal.timeout(50);
      const relay = await UdpRelay.to(9);
      await assert.rejects(quic.dial({ host, port: relay.port, tls: pki.clientTls, signal }), {
        name: 'TimeoutError',
      });
      relay.close();
    });
  });
}

/** RFC 9000 17.2: type of a long header packet of version 1. */
const packetType = (first: number) => (first >> 4) & 0b1011;
const initial = 0b1000;
const retry = 0b1011;
