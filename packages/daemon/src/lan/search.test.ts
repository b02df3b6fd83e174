// Real multicast on this machine: a flood of answers, and answers to queries.

import assert from 'node:assert/strict';
import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import process from 'node:process';
import test, { type TestContext } from 'node:test';
import dnsPacket from 'dns-packet';
import { LanAnnouncer } from './announce.ts';
import { lanInterfaces } from './interfaces.ts';
import { multicastGroups, multicastPort, recordsOf, serviceName } from './records.ts';
import { searchLan } from './search.ts';

/** Unique, so that other runs of these tests on the same network do not interfere. */
const name = `test-${process.pid}.internal`;
const daemon = { daemonId: '01M86AT7C9B52AYE27TEK0RG45', trustDomain: `home.${name}`, port: 7443 };
const network = lanInterfaces().find(({ family }) => family === 'IPv4');
const skip = !network && 'NOT TESTED: this machine has no network';
const { signal } = new AbortController();

/** Collects the sockets that are bound from now on, with their ports. */
function boundSockets(t: TestContext): Map<Socket, number> {
  const sockets = new Map<Socket, number>();
  const bind = Socket.prototype.bind;
  t.mock.method(Socket.prototype, 'bind', function (this: Socket, ...options: Parameters<typeof bind>) {
    this.once('listening', () => sockets.set(this, this.address().port));
    return bind.apply(this, options);
  });
  return sockets;
}

test('a neighbour that answers a thousand times takes only a few places, and little memory and time', {
  skip,
}, async (t) => {
  const forger = createSocket({ type: 'udp4', reuseAddr: true });
  t.after(() => forger.close());
  await once(forger.bind(multicastPort), 'listening');
  forger.addMembership(multicastGroups.IPv4, network!.handle);
  const own = boundSockets(t);
  forger.on('message', (_, from) => {
    if (![...own.values()].includes(from.port)) return;
    for (let at = 0; at < 1000; at += 1) {
      const answers = recordsOf({ ...daemon, port: 1 + at }, ['192.0.2.1']);
      forger.send(dnsPacket.encode({ type: 'response', answers }), from.port, from.address, () => {});
    }
  });
  const found = await searchLan({ signal });
  assert.equal(found.filter(({ address }) => address.startsWith('192.0.2.1:')).length, 4);
});

test('a search that is interrupted ends', { skip }, async () => {
  await assert.rejects(searchLan({ signal: AbortSignal.abort(new Error('Ctrl-C')) }), /abort|Ctrl-C/i);
});

test('a listener on one address is announced with this address, and a loopback listener is not announced', {
  skip,
}, async (t) => {
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const [own, hidden] = [
    new LanAnnouncer({ ...daemon, host: network!.handle, onError }),
    new LanAnnouncer({ ...daemon, trustDomain: `hidden.${name}`, host: '127.0.0.1', onError }),
  ];
  t.after(() => Promise.all([own.close(), hidden.close()]));
  const found = await searchLan({ signal });
  assert.deepEqual(
    found.filter(({ trustDomain }) => trustDomain.endsWith(name)),
    [{ trustDomain: daemon.trustDomain, address: `${network!.handle}:7443` }],
  );
  assert.deepEqual(errors, []);
});

test('a query from port 0 is not answered, and the daemon keeps running', { skip }, async (t) => {
  // Only root can send such a packet, so the test hands it to the socket.
  const sockets = boundSockets(t);
  const announcer = new LanAnnouncer({ ...daemon, host: network!.handle, onError: () => {} });
  t.after(() => announcer.close());
  await searchLan({ signal });
  const query = dnsPacket.encode({ type: 'query', questions: [{ type: 'PTR', name: serviceName }] });
  for (const socket of [...sockets.keys()].filter((each) => each.listenerCount('message') > 0))
    socket.emit('message', query, { address: network!.handle, family: 'IPv4', port: 0, size: query.length });
  const found = await searchLan({ signal });
  assert.ok(found.some(({ trustDomain }) => trustDomain === daemon.trustDomain));
});
