// Environment variables about trust have no effect: an impostor is refused, and the daemon is accepted. People
// set these variables for other programs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import test, { type TestContext } from 'node:test';
import {
  CertificateAuthority,
  certificatesToPem,
  LocalSigner,
  makeIssuing,
  makeRoot,
  TlsKey,
} from '@palyra/identity/certificate';
import { nodeCrypto } from '@palyra/identity/values';
import type { Credential } from '../testing/bare-tls.ts';
import { builtProgram } from '../testing/built-program.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { freePort } from '../testing/free-port.ts';
import { selfSigned } from '../testing/lying-daemon.ts';
import { answer, configure, failure, makeHome, PalyraProcess, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const day = 24 * 3_600_000;

/** An impostor's credential: our daemon's names under another root. @param at its time of issue; it lives a week. */
async function twin(
  trustDomain: string,
  daemonId: string,
  at: number,
): Promise<Credential & { readonly root: string }> {
  const surroundings = { clock: { now: () => new Date(at) }, randomBytes: nodeCrypto.randomBytes };
  const [rootSigner, issuingSigner, key] = [
    LocalSigner.generate(),
    LocalSigner.generate(),
    TlsKey.generate(),
  ];
  const root = await makeRoot({ ...surroundings, trustDomain, signer: rootSigner });
  const parts = { ...surroundings, trustDomain, root: { der: root.der, signer: rootSigner } };
  const issuing = await makeIssuing({ ...parts, publicKey: issuingSigner.publicKey });
  const authority = new CertificateAuthority({
    ...parts,
    issuing: { der: issuing.der, signer: issuingSigner },
  });
  const leaf = await authority.issueDaemon({
    ...{ daemonId: daemonId as never, tlsKey: key.publicKey, dnsNames: [], ipAddresses: ['127.0.0.1'] },
  });
  return {
    cert: certificatesToPem([leaf.der, issuing.der]),
    key: key.toPem(),
    root: certificatesToPem([root.der]),
  };
}

/** A server that speaks HTTP/2 and HTTP/1 over TLS and answers everything. */
async function impostor(t: TestContext, { cert, key }: Credential, port = 0): Promise<string> {
  const server = http2.createSecureServer(
    { cert, key, allowHTTP1: true, requestCert: true, rejectUnauthorized: false },
    (_, response) => response.end(),
  );
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function files(roots: string) {
  const folder = temporaryFolder();
  const [bundle, weak] = [join(folder, 'roots.pem'), join(folder, 'openssl.cnf')];
  writeFileSync(bundle, roots);
  writeFileSync(
    weak,
    [
      'nodejs_conf = weak\nopenssl_conf = weak\n[weak]\nssl_conf = ssl\n[ssl]\nsystem_default = all',
      '[all]\nMinProtocol = TLSv1\nCipherString = ALL:eNULL:@SECLEVEL=0\nOptions = UnsafeLegacyRenegotiation\nVerifyMode = None\n',
    ].join('\n'),
  );
  return { folder, bundle, weak };
}

/** Every variable of Node and OpenSSL that affects trust, set in favour of the impostors. */
function environments({
  folder,
  bundle,
  weak,
}: ReturnType<typeof files>): Record<string, Record<string, string>> {
  const system = { SSL_CERT_FILE: bundle, SSL_CERT_DIR: folder };
  const options = (words: string, more = {}) => ({ NODE_OPTIONS: words, ...more });
  return {
    nothing: {},
    'no check': { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    'more authorities': { NODE_EXTRA_CA_CERTS: bundle },
    "the system's authorities": { NODE_USE_SYSTEM_CA: '1', ...system },
    "OpenSSL's authorities": options('--use-openssl-ca', system),
    'system authorities as an option': options('--use-system-ca', system),
    'bundled authorities': options('--use-bundled-ca', system),
    'old TLS': options('--tls-min-v1.0 --tls-max-v1.2'),
    'no ciphers of TLS 1.3': options('--tls-cipher-list=ALL:@SECLEVEL=0'),
    'ciphers without encryption': options('--tls-cipher-list=TLS_SHA256_SHA256:@SECLEVEL=0'),
    'an OpenSSL that allows everything': { OPENSSL_CONF: weak, ...options('--openssl-shared-config') },
    everything: {
      ...system,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_EXTRA_CA_CERTS: bundle,
      OPENSSL_CONF: weak,
      ...options('--use-openssl-ca --tls-min-v1.0 --tls-max-v1.2 --tls-cipher-list=ALL:@SECLEVEL=0'),
    },
  };
}

test('no environment variable lets a device accept an impostor or reject its daemon, on any dial', async (t) => {
  const daemon = await TestDaemon.start(t);
  const enrollment = await pair(daemon, await makeDevice());
  const { trustDomain, daemonId } = daemon.running;
  const alone = await selfSigned();
  const [other, old] = [
    await twin(trustDomain, daemonId, Date.now()),
    await twin(trustDomain, daemonId, Date.now() - 30 * day),
  ];
  const impostors = await Promise.all([alone, other, old].map((each) => impostor(t, each)));
  const input = JSON.stringify(
    { enrollment, pairingAddress: daemon.pairingAddress, impostors },
    (_, value) => (value instanceof Uint8Array ? `base64:${Buffer.from(value).toString('base64')}` : value),
  );
  for (const [name, env] of Object.entries(environments(files(alone.cert + other.root + old.root)))) {
    const child = spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        builtProgram(join(import.meta.dirname, '../testing/dial-everything.ts')),
      ],
      {
        env: { ...process.env, ...env } as NodeJS.ProcessEnv,
        stdio: ['pipe', 'pipe', 'ignore'],
        timeout: 120_000,
        killSignal: 'SIGKILL',
      },
    );
    child.stdin.end(input);
    const seen = (await json(child.stdout)) as {
      honest: object;
      impostors: { node: string; pairing: string; webhook: string }[];
    };
    assert.deepEqual(seen.honest, { node: 'OK', pairing: 'OK', quic: 'OK' }, name);
    for (const [at, { node, pairing, webhook }] of seen.impostors.entries()) {
      assert.deepEqual(
        [node, pairing],
        ['DAEMON_NOT_AUTHENTICATED', 'DAEMON_NOT_AUTHENTICATED'],
        `${name}, ${at}`,
      );
      // Only servers whose authority the operator adds to Node may receive the webhook, and never with an expired certificate.
      const isAdded = /authorities|everything/.test(name) && name !== 'bundled authorities' && at === 1;
      if (!isAdded) assert.notEqual(webhook, 'OK', `${name}, ${at}`);
    }
  }
});

test("every device command that dials rejects an impostor, even with Node's check switched off", async (t) => {
  const [pairingPort, nodePort] = [await freePort(), await freePort()];
  const home = await makeHome(t);
  const at = (port: number) => ({ host: '127.0.0.1', port });
  await configure(home, { pairing: at(pairingPort), node: at(nodePort), quic: { enabled: false } });
  const daemon = await DaemonProcess.start(t, { home });
  const start = async (device: string) => {
    const { code } = await answer(['pairing', 'code'], { home });
    const pairing = PalyraProcess.start(['pair', daemon.pairingAddress, '--code-stdin'], {
      home: device,
      stdin: `${code}\n`,
    });
    await pairing.line(({ event }) => event === 'words');
    return pairing;
  };
  const [paired, waiting] = [await makeHome(t), await makeHome(t)];
  const pairing = await start(paired);
  const { pairings } = await answer(['pairing', 'list'], { home });
  await answer(['pairing', 'approve', pairings[0].id, '--operator'], { home });
  assert.equal((await pairing.ended).exitCode, 0);
  await (await start(waiting)).end('SIGKILL');
  await daemon.kill();

  const other = await twin(daemon.trustDomain, daemon.daemonId, Date.now());
  await impostor(t, other, pairingPort);
  await impostor(t, other, nodePort);
  const env = environments(files(other.root)).everything!;
  const refused = { code: 'DAEMON_NOT_AUTHENTICATED', exitCode: 3 };
  for (const command of [
    ['node', 'status'],
    ['renew'],
    ['renew', '--recover'],
    ['--remote', 'devices', 'list'],
    ['--remote', 'pairing', 'watch'],
  ])
    await t.test(command.join(' '), async () => {
      await failure(palyra(command, { home: paired, env }), refused);
    });
  await t.test('pair, waiting', async () => {
    await failure(palyra(['pair', `127.0.0.1:${pairingPort}`], { home: waiting, env }), refused);
  });
  await t.test('node run', async () => {
    const agent = PalyraProcess.start(['node', 'run'], { home: paired, env });
    await agent.line((line) => JSON.stringify(line).includes('DAEMON_NOT_AUTHENTICATED'));
    const { lines } = await agent.end('SIGKILL');
    assert.ok(!lines.some(({ event }) => event === 'connected'));
  });
});
