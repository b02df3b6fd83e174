// Recomputes the worked example of docs/channel.md, and compares the page with the data.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ChainJudge } from '@palyra/identity/certificate';
import { webCrypto } from './noise/web-crypto.ts';
import { computeExample, type ExampleInputs, exampleInputs } from './testing/example.ts';

const repository = new URL('../../../', import.meta.url);
const page = readFileSync(new URL('docs/channel.md', repository), 'utf8');
const example: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(new URL('docs/channel-example.json', repository), 'utf8'),
);
const bytes = (name: string) => new Uint8Array(Buffer.from(example[name] ?? assert.fail(name), 'hex'));
const inputs = Object.fromEntries(exampleInputs.map((name) => [name, bytes(name)])) as ExampleInputs;

test('the product computes every value of the example from its inputs', async () => {
  const computed = Object.entries({ ...inputs, ...(await computeExample(inputs)) });
  const shown = Object.fromEntries(
    computed.map(([name, value]) => [name, Buffer.from(value).toString('hex')]),
  );
  assert.deepEqual(shown, { ...example });
});

test('each receiver accepts the certificates and signatures of the example', async () => {
  const judge = new ChainJudge([inputs.root]);
  for (const side of ['daemon', 'device'] as const) {
    const { leaf, certificate } = judge.judge([inputs[`${side}_leaf`], inputs.issuing]);
    assert.equal(leaf.spiffeId.kind, side);
    const spki = new X509Certificate(certificate.raw).publicKey.export({ type: 'spki', format: 'der' });
    const signed = bytes(`${side}_signature_input`);
    assert.ok(await webCrypto.verifyP256(spki, signed, inputs[`${side}_signature`]));
  }
});

test('docs/channel.md prints exactly the values of docs/channel-example.json', () => {
  const blocks = [...page.matchAll(/^```example\n(.*?)\n```$/gms)].map((found) => found[1] ?? '');
  const lines = blocks
    .join('\n')
    .replaceAll(/\n {4}/g, '')
    .split('\n');
  const printed = lines.map((line) => /^(\w+) = ?([0-9a-f]*)$/.exec(line)?.slice(1) ?? assert.fail(line));
  assert.deepEqual(Object.fromEntries(printed), { ...example });
});
