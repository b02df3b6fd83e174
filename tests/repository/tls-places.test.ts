// The only places in the sources that may use TLS. A dial elsewhere would use Node's defaults, which depend on the environment.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placesOf, product, sources } from '../testing/sources.ts';

test('one file dials TLS, one more calls a webhook, and two open WebSockets', () => {
  assert.ok(product.length > 200, 'the sources were found');
  assert.deepEqual(placesOf(/\btls\.connect\b|\bcreateSecureContext\b/), [
    'packages/rpc/src/http2/dial-tls.ts',
  ]);
  // They inspect a socket that is not connected.
  assert.deepEqual(placesOf(/new (?:tls\.)?TLSSocket\b/), [
    'packages/rpc/src/http2/required-certificate.ts',
    'packages/rpc/src/node-internals.ts',
  ]);
  assert.deepEqual(placesOf(/from '(?:node:)?https'|\bhttps\.(?:request|get)\b/), [
    'packages/daemon/src/notices/webhook.ts',
    'packages/transport-websocket/src/dial.ts',
  ]);
  // The page calls its own server, and the browser dials.
  assert.deepEqual(placesOf(/\bfetch\(|\bundici\b|new WebSocket\b/), [
    'packages/browser/src/dial.ts',
    'packages/console/web/session.ts',
    'packages/transport-websocket/src/dial.ts',
  ]);
  // Each on a socket that was passed to it.
  for (const path of placesOf(/\bhttp2\.connect\(/)) {
    const { text } = product.find((each) => each.path === path)!;
    for (const [call] of text.matchAll(/http2\.connect\([^;]*;/g))
      assert.match(call, /createConnection: \(\) => socket/, path);
  }
});

test('every dial and listener states its certificate check, and three places switch it off', () => {
  assert.deepEqual(placesOf(/rejectUnauthorized: true/), [
    'packages/daemon/src/notices/webhook.ts',
    'packages/registry-sql/src/postgres/address.ts',
    'packages/rpc/src/http2/required-certificate.ts',
  ]);
  // Both judge every chain themselves. In the second, OpenSSL refuses a peer without a certificate.
  // The last one does not rely on TLS: the channel inside authenticates the daemon (docs/channel.md).
  assert.deepEqual(placesOf(/rejectUnauthorized(?:: | = )false/), [
    'packages/rpc/src/http2/dial-tls.ts',
    'packages/rpc/src/http2/required-certificate.ts',
    'packages/transport-websocket/src/dial.ts',
  ]);
  assert.deepEqual(placesOf(/(?<!_)rejectUnauthorized(?!: (?:true|false))/), []);
  assert.deepEqual(placesOf(/NODE_TLS_REJECT_UNAUTHORIZED/), ['packages/daemon/src/notices/webhook.ts']);
});

test("no code calls the Node function that keeps a peer's whole chain in memory for ever", () => {
  const leaking = /\.get(?:Peer)?X509Certificate\(/;
  assert.deepEqual(placesOf(leaking, sources), []);
});
