// Recomputes the worked example of docs/pairing.md, and compares the page with the data and the protos.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { concatBytes, hexToBytes } from '@noble/curves/utils.js';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { readAuthorityCertificate } from '../certificate/peer-certificate.ts';
import { TlsKey } from '../certificate/tls-key.ts';
import { nodeCrypto as crypto } from '../crypto/node.ts';
import { parseDeviceId } from '../device-id.ts';
import type { DeviceKind } from '../fleet/device.ts';
import { lvCat } from '../lv.ts';
import { recoveryInput, renewalInput } from '../renewal/proof.ts';
import { formatQrUri, formatTypedCode, parsePairingCode, slotKey } from './code.ts';
import { calculateGenerator, scalarMultVfy, sessionKey } from './cpace.ts';
import { encodeDaemonHello, encodeDeviceHello, parseDaemonHello, parseDeviceHello } from './hello.ts';
import {
  awaitProofInput,
  channelIdentifier,
  commitmentTo,
  derivePairingKeys,
  identitySignatureInput,
  tlsKeyProofInput,
} from './transcript.ts';

type Values = Readonly<Record<string, string>>;
const repository = new URL('../../../../', import.meta.url);
const page = readFileSync(new URL('docs/pairing.md', repository), 'utf8');
const example: { texts: Values; bytes: Values } = JSON.parse(
  readFileSync(new URL('docs/pairing-example.json', repository), 'utf8'),
);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const text = (name: string) => example.texts[name] ?? assert.fail(`no text ${name}`);
const bytes = (name: string) => hexToBytes(example.bytes[name] ?? assert.fail(`no bytes ${name}`));
const signatures = new Set(['root_certificate', 'tls_key_proof']);

test('the product computes every value of the example from its inputs', async () => {
  const sid = bytes('session_id');
  const code = parsePairingCode(text('typed_code'));
  const qr = parsePairingCode(text('qr_uri'));
  const identity = await crypto.importIdentityKey(
    concatBytes(hexToBytes('302e020100300506032b657004220420'), bytes('identity_seed')),
  );
  const tlsKey = TlsKey.fromPkcs8(bytes('tls_key_pkcs8'));
  const rootSha256 = await crypto.sha256(bytes('root_certificate'));
  const deviceHello = encodeDeviceHello({
    deviceId: parseDeviceId(text('device_id')),
    identityKey: identity.publicKey,
    tlsKey: tlsKey.publicKey,
    name: text('name'),
    platform: text('platform'),
  });
  const daemonHello = encodeDaemonHello({
    daemonId: parseDeviceId(text('daemon_id')),
    trustDomain: text('trust_domain'),
    time: new Date(Number(text('daemon_time_ms'))),
  });

  const ci = channelIdentifier(bytes('channel_binding'), rootSha256, text('client_kind') as DeviceKind);
  const generatorString = lvCat('CPace255', code.secret, new Uint8Array(127 - 7 - 9), ci, sid);
  const g = await calculateGenerator(crypto, { prs: code.secret, ci, sid });
  const ya = await scalarMultVfy(crypto, bytes('device_scalar'), g);
  const yb = await scalarMultVfy(crypto, bytes('daemon_scalar'), g);
  const k = await scalarMultVfy(crypto, bytes('device_scalar'), yb);
  assert.deepEqual(k, await scalarMultVfy(crypto, bytes('daemon_scalar'), ya), 'both sides have one K');
  const opened = { yb, adB: daemonHello, nonce: bytes('nonce') };
  const commitment = await commitmentTo(crypto, opened);
  const exchange = { ya, adA: deviceHello, yb, adB: daemonHello };
  const isk = await sessionKey(crypto, sid, k, exchange);
  const keys = await derivePairingKeys(crypto, { ci, sid, commitment }, k, exchange);
  const derive = (label: string, length: number) =>
    crypto.hkdfSha512(isk, lvCat(`palyra-pairing-v2 ${label}`, keys.transcript), length);
  const identityInput = identitySignatureInput(keys.transcript);
  const awaitInput = awaitProofInput(text('request_id'), bytes('channel_binding'));
  const renewal = renewalInput(text('device_id'), text('serial'), tlsKey.publicKey);
  const recovery = recoveryInput(
    bytes('channel_binding'),
    bytes('challenge'),
    text('device_id'),
    tlsKey.publicKey,
  );

  const computed: Record<string, Uint8Array> = {
    slot_bytes: code.slot,
    prs: code.secret,
    qr_slot: qr.slot,
    qr_secret: qr.secret,
    identity_key: identity.publicKey,
    tls_key: tlsKey.publicKey,
    root_sha256: rootSha256,
    device_hello: deviceHello,
    daemon_hello: daemonHello,
    ci,
    generator_string: generatorString,
    generator_hash: await crypto.sha512(generatorString),
    g,
    ya,
    yb,
    k,
    commitment_input: lvCat('palyra-pairing-v2 commitment', yb, daemonHello, opened.nonce),
    commitment,
    isk,
    transcript: keys.transcript,
    daemon_confirmation_key: await derive('daemon confirmation', 32),
    daemon_confirmation: keys.daemonConfirmation,
    device_confirmation_key: await derive('device confirmation', 32),
    device_confirmation: keys.deviceConfirmation,
    words_bytes: await derive('words', 6),
    identity_signature_input: identityInput,
    identity_signature: await identity.sign(identityInput),
    tls_key_proof_input: tlsKeyProofInput(keys.transcript),
    await_key: keys.awaitKey,
    await_proof_input: awaitInput,
    await_proof: await crypto.hmacSha256(keys.awaitKey, awaitInput),
    renewal_input: renewal,
    renewal_signature: await identity.sign(renewal),
    recovery_input: recovery,
    recovery_signature: await identity.sign(recovery),
  };
  const inputs = [
    ...[
      'channel_binding',
      'session_id',
      'device_scalar',
      'daemon_scalar',
      'nonce',
      'identity_seed',
      'tls_key_pkcs8',
      'challenge',
    ],
    ...signatures,
  ];
  const shown = Object.fromEntries(Object.entries(computed).map(([name, value]) => [name, hex(value)]));
  for (const name of inputs) shown[name] = example.bytes[name] ?? '';
  assert.deepEqual(shown, { ...example.bytes });

  assert.equal(keys.words, text('words'));
  assert.equal(formatTypedCode(text('slot'), new TextEncoder().encode(text('pin'))), text('typed_code'));
  assert.equal(
    formatQrUri(text('qr_address'), slotKey(qr.slot) ?? '', qr.secret, rootSha256),
    text('qr_uri'),
  );
  assert.deepEqual(qr.rootFingerprint, rootSha256);
});

test('each receiver accepts the messages and signatures of the example', async () => {
  const device = parseDeviceHello(bytes('device_hello'));
  assert.equal(device.name, text('name'));
  assert.equal(parseDaemonHello(bytes('daemon_hello')).trustDomain, text('trust_domain'));
  assert.equal(readAuthorityCertificate(bytes('root_certificate')).trustDomain, text('trust_domain'));
  const { identityKey, tlsKey } = device;
  assert.ok(
    await crypto.verifyEd25519(identityKey, bytes('identity_signature_input'), bytes('identity_signature')),
  );
  assert.ok(await crypto.verifyP256(tlsKey, bytes('tls_key_proof_input'), bytes('tls_key_proof')));
});

const python = spawnSync('python3', ['--version']).status === 0;

test('a program written only from the page computes the same values', { skip: !python }, () => {
  const program = fileURLToPath(new URL('tests/testing/pairing_example.py', repository));
  const run = spawnSync('python3', [program], { input: JSON.stringify(example), encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr);
  const { words, bytes: values }: { words: number[]; bytes: Values } = JSON.parse(run.stdout);
  assert.ok(Object.keys(values).length > 25);
  for (const [name, value] of Object.entries(values)) assert.equal(value, example.bytes[name], name);
  assert.equal(words.map((each) => wordlist[each]).join(' '), text('words'));
});

test('docs/pairing.md prints exactly the values of docs/pairing-example.json', () => {
  const printed = { texts: {} as Record<string, string>, bytes: {} as Record<string, string> };
  const lines = blocks('example')
    .join('\n')
    .replaceAll(/\n {4}/g, '')
    .split('\n');
  for (const line of lines) {
    const [, name, value] = /^([a-z0-9_]+) = ?(.+)$/.exec(line) ?? assert.fail(`not a value: ${line}`);
    const kind = value!.startsWith('"') ? 'texts' : 'bytes';
    printed[kind][name!] = kind === 'texts' ? JSON.parse(value!) : value!;
  }
  assert.deepEqual(printed, example);
});

test('docs/pairing.md shows every method and message of pairing as in the protos', () => {
  const printed = blocks('proto').flatMap((block) => block.split('\n\n'));
  const node = declarations('node');
  for (const each of ['pairing', 'endpoints', 'error'].flatMap(declarations)) {
    if (!/^(syntax|import) /.test(each)) assert.ok(printed.includes(each), each);
  }
  for (const message of ['StatusRequest', 'StatusResponse', 'RenewRequest', 'RenewResponse']) {
    const declared = node.find((each) => each.startsWith(`message ${message} {`));
    assert.ok(declared !== undefined && printed.includes(declared), message);
  }
});

test('the word list on the page is the one in the code', () => {
  const digest = hash('sha256', wordlist.map((word) => `${word}\n`).join(''));
  assert.ok(page.includes(digest), digest);
});

/** The declarations of a proto, without comments. */
function declarations(name: string): string[] {
  const file = new URL(`packages/rpc/proto/palyra/${name}/v1/${name}.proto`, repository);
  const bare = readFileSync(file, 'utf8').replaceAll(/^ *\/\/.*\n/gm, '');
  return bare.trim().split('\n\n');
}

function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)\\n\`\`\`$`, 'gms'))].map(
    (found) => found[1] ?? '',
  );
}
