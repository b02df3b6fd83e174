import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@palyra/identity';
import { temporaryFolder } from '../../../tests/testing/temporary-folder.ts';
import { parseConfig, readConfig } from './config.ts';

async function file(text: string | Uint8Array): Promise<string> {
  const folder = temporaryFolder();
  const path = join(folder, 'config.json');
  await writeFile(path, text);
  return path;
}

const refused = (input: unknown, naming: RegExp) =>
  assert.throws(
    () => parseConfig(input, '/x/config.json'),
    (error) =>
      hasCode(error, 'MESSAGE_INVALID') && naming.test(error.message) && /^\/x\/config/.test(error.message),
    JSON.stringify(input),
  );

test('an empty configuration is complete', () => {
  const config = parseConfig({}, 'a test');
  assert.deepEqual(config.pairing, { host: '::', port: 7443 });
  assert.deepEqual(config.node, { host: '::', port: 7444 });
  assert.deepEqual(config.masterKey, { from: 'key-file' });
  assert.deepEqual(config.names, { dns: [], ip: [] });
  assert.equal(config.trustDomain, undefined);
});

test('a group with some settings keeps the defaults of the others', () => {
  assert.deepEqual(parseConfig({ pairing: { port: 1 } }, 'a test').pairing, { host: '::', port: 1 });
});

test('an unknown setting is named, at every depth', () => {
  refused({ pairng: {} }, /pairng/);
  refused({ pairing: { prot: 1 } }, /prot/);
  refused({ limits: { sesions: 1 } }, /sesions/);
  refused({ masterKey: { from: 'key-file', pth: 'x' } }, /pth/);
});

test('an invalid value is named', () => {
  for (const port of [-1, 65_536, 1.5, '7443', null]) refused({ pairing: { port } }, /pairing\.port/);
  for (const host of [7, null, []]) refused({ node: { host } }, /node\.host/);
  refused({ masterKey: { from: 'thin air' } }, /masterKey/);
  const caKey = { module: '/usr/lib/token.so', token: 'palyra', pinFile: '/etc/palyra/pin' };
  assert.deepEqual(parseConfig({ caKey }, 'a test').caKey, caKey);
  refused({ caKey: { ...caKey, pin: '1234' } }, /pin/);
  refused({ caKey: { ...caKey, module: 'token.so' } }, /caKey\.module: .*absolute path/);
  refused({ caKey: { ...caKey, pinFile: `/${'x'.repeat(4096)}` } }, /caKey\.pinFile/);
  refused({ caKey: { ...caKey, token: 'x'.repeat(33) } }, /caKey\.token/);
  refused({ caKey: { module: caKey.module, token: caKey.token } }, /caKey\.pinFile/);
  refused({ masterKey: { from: 'passphrase-file' } }, /masterKey\.path/);
  refused({ names: { dns: 'one' } }, /names\.dns/);
  for (const wrong of [
    '',
    'home.example',
    'http://home.example:7443',
    'home.example:0x1',
    ':7443',
    7443,
    '[fe80::1%eth0]:7443',
    `${'a'.repeat(300)}:7443`,
  ]) {
    refused({ endpoints: { node: ['home.example:1', wrong] } }, /endpoints\.node\.1/);
  }
  refused(
    { endpoints: { quic: Array.from({ length: 9 }, (_, at) => `home.example:${at + 1}`) } },
    /endpoints\.quic/,
  );
  refused({ endpoints: { admin: [] } }, /endpoints\.admin/);
  for (const input of [null, [], 'text', 7]) refused(input, /expected object/);
});

test('console and metrics listen only on loopback addresses', () => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'localhost']) {
    refused({ console: { host } }, /console\.host/);
    refused({ metrics: { host, port: 1 } }, /metrics\.host/);
  }
});

test('a limit can be lowered, and raised only where that is safe', () => {
  assert.equal(parseConfig({ limits: { guessesPerCode: 1 } }, 'a test').limits.guessesPerCode, 1);
  for (const guessesPerCode of [0, 4, -1, 1.5]) refused({ limits: { guessesPerCode } }, /guessesPerCode/);
  for (const name of ['sessions', 'pendingRequests', 'liveCodes', 'opensPerMinute', 'pairingConnections']) {
    for (const value of [0, -1, 1.5, '9', Number.NaN])
      refused({ limits: { [name]: value } }, new RegExp(name));
  }
  for (const deviceCertificateLifeMs of [59_999, 30 * 86_400_000 + 1]) {
    refused({ limits: { deviceCertificateLifeMs } }, /deviceCertificateLifeMs/);
  }
});

test('an invalid life of codes is refused at the start, not at the first code', () => {
  for (const codeLifeMs of [29_999, 86_400_001]) refused({ limits: { codeLifeMs } }, /codeLifeMs/);
  for (const codeLifeMs of [30_000, 86_400_000]) {
    assert.equal(parseConfig({ limits: { codeLifeMs } }, 'a test').limits.codeLifeMs, codeLifeMs);
  }
});

test('a limit of more typed codes than there are slots is refused', () => {
  refused({ limits: { liveCodes: 501 } }, /liveCodes/);
  assert.equal(parseConfig({ limits: { liveCodes: 500 } }, 'a test').limits.liveCodes, 500);
});

test('a file is read, and a missing file means the defaults', async () => {
  const path = await file('{ "node": { "port": 0 } }');
  assert.equal((await readConfig(path)).node.port, 0);
  assert.deepEqual(await readConfig(`${path}.not`), parseConfig({}, 'a test'));
});

test('a file that is not JSON or cannot be read is named', async () => {
  const path = await file('{ "node": ');
  const named = (code: 'MESSAGE_INVALID' | 'STORE_PERMISSIONS', where: string) => (error: unknown) =>
    hasCode(error, code) && error.message.includes(where);
  await assert.rejects(readConfig(path), named('MESSAGE_INVALID', path));
  const folder = join(path, '..');
  await assert.rejects(readConfig(folder), named('STORE_PERMISSIONS', folder));
});

test('a byte order mark is skipped, and the error for an empty file or another encoding says so', async () => {
  assert.equal((await readConfig(await file('\uFEFF{ "node": { "port": 0 } }\r\n'))).node.port, 0);
  for (const [content, saying] of [
    [Buffer.from('\uFEFF{}', 'utf16le'), /it is not UTF-8 text\. Save it in that encoding\.$/],
    ['\uFEFF\r\n', /it is empty\. For the defaults, write \{\} or remove the file\.$/],
    [' '.repeat(1024 * 1024 + 1), /it is too long\.$/],
  ] as const)
    await assert.rejects(readConfig(await file(content)), { code: 'MESSAGE_INVALID', message: saying });
});

test('a file that others may change or replace is refused, because it can name programs to run', async () => {
  const path = await file('{ "notice": { "command": ["/bin/true"] } }');
  await chmod(path, 0o666);
  await assert.rejects(readConfig(path), {
    code: 'STORE_PERMISSIONS',
    message: /chmod go-w .*config\.json$/,
  });
  await chmod(path, 0o644);
  await chmod(dirname(path), 0o777);
  await assert.rejects(readConfig(path), { code: 'STORE_PERMISSIONS', message: /chmod go-w / });
});

test('scheduled backups have a folder, and either a passphrase file or recipients', () => {
  const folder = '/var/backups/palyra';
  const recipients = ['age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'];
  assert.deepEqual(parseConfig({ backup: { folder, recipients } }, 'a test').backup, {
    folder,
    recipients,
    keep: 7,
    everyMs: 86_400_000,
  });
  for (const backup of [
    { folder },
    { folder, recipients, passphraseFile: '/p' },
    { folder: 'here', recipients },
    { folder, passphraseFile: 'here' },
    { folder, recipients: [] },
    { folder, recipients: Array(21).fill(recipients[0]) },
    { folder, recipients: ['AGE-SECRET-KEY-1ABC'] },
    { folder, recipients: ['age1\n'] },
    { folder, recipients, keep: 0 },
    { folder, recipients, keep: 1001 },
    { folder, recipients, everyMs: 59_999 },
    { folder, recipients, everyMs: 2 ** 31 },
    { folder, recipients, other: 1 },
  ])
    assert.throws(
      () => parseConfig({ backup }, 'a test'),
      { code: 'MESSAGE_INVALID' },
      JSON.stringify(backup),
    );
});
