// Where the sources may touch TLS. Whoever dials from elsewhere takes Node's defaults, and those come from the environment.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placesOf, product, sources } from '../testing/sources.ts';

test('one file dials TLS, one more calls a webhook, and two open WebSockets', () => {
  assert.ok(product.length > 200, 'the sources were found');
  assert.deepEqual(placesOf(/\btls\.connect\b|\bcreateSecureContext\b/), [
    'packages/rpc/src/http2/dial-tls.ts',
  ]);
  // They look at one that is connected to nobody.
  assert.deepEqual(placesOf(/new (?:tls\.)?TLSSocket\b/), [
    'packages/rpc/src/http2/required-certificate.ts',
    'packages/rpc/src/node-internals.ts',
  ]);
  assert.deepEqual(placesOf(/from '(?:node:)?https'|\bhttps\.(?:request|get)\b/), [
    'packages/daemon/src/notices/webhook.ts',
    'packages/transport-websocket/src/dial.ts',
  ]);
  // The page asks the server that it came from; there it is the browser that dials.
  assert.deepEqual(placesOf(/\bfetch\(|\bundici\b|new WebSocket\b/), [
    'packages/browser/src/dial.ts',
    'packages/console/web/session.ts',
    'packages/transport-websocket/src/dial.ts',
  ]);
  // Each on a socket that it was given.
  for (const path of placesOf(/\bhttp2\.connect\(/)) {
    const { text } = product.find((each) => each.path === path)!;
    for (const [call] of text.matchAll(/http2\.connect\([^;]*;/g))
      assert.match(call, /createConnection: \(\) => socket/, path);
  }
});

test('every dial and listener states its certificate check, and three places switch it off', () => {
  assert.deepEqual(placesOf(/rejectUnauthorized: true/), [
    'packages/daemon/src/notices/webhook.ts',
    'packages/rpc/src/http2/required-certificate.ts',
  ]);
  // Both judge the chain themselves, whatever it is. The second has OpenSSL refuse a peer without a certificate.
  // The last believes nothing of what TLS says: the channel inside proves the daemon (docs/channel.md).
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
