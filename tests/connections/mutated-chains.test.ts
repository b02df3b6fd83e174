// Chains that differ from ours in one detail, at both ends of real TLS, with certificates that have expired or are not valid
// yet, so that OpenSSL reports only the dates. The registry accepts every leaf here.

import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { before, describe, it, type TestContext } from 'node:test';
import tls from 'node:tls';
import { type AuthenticatedDevice, IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { ChainJudge, certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode } from '@palyra/rpc';
import { type DeviceAuthenticator, Http2Listener } from '@palyra/rpc/transport';
import {
  type ChainDifference,
  ChainMaker,
  differences,
} from '../../packages/identity/src/certificate/testing/mutated-chain.ts';
import {
  daemonId,
  deviceId,
  SampleAuthority,
  trustDomain,
} from '../../packages/identity/src/certificate/testing/sample-authority.ts';
import { variants } from '../testing/soak.ts';

const day = 24 * 3_600_000;
const started = Math.floor(Date.now() / 1000) * 1000;
const life = (from: number, to: number) => ({
  notBefore: new Date(started + from * day),
  notAfter: new Date(started + to * day),
});
const [valid, expired, early] = [life(-1, 1), life(-3, -2), life(2, 3)];
/** The dates of leaf and issuing CA. */
const dates = [
  [valid, valid],
  [expired, valid],
  [valid, expired],
  [early, expired],
] as const;
/** A leaf that is good, and one whose dates hide what else is wrong. */
const datesOfForeign = variants(dates, ([, issuing]) => issuing === valid);

let sample: SampleAuthority;
let foreign: SampleAuthority;
let mutations: [string, ChainDifference][];
before(async () => {
  sample = await SampleAuthority.create(new Date(started));
  foreign = await SampleAuthority.create(new Date(started));
  mutations = (await differences()).filter(([, { leaf }]) => !leaf?.keys);
});

function dated({ leaf, issuing }: ChainDifference, [leafLife, issuingLife]: (typeof dates)[number]) {
  return { leaf: { ...leaf, life: leafLife }, issuing: { ...issuing, life: issuingLife } };
}

describe('a device', () => {
  const enrollment = async (): Promise<PairedEnrollment> =>
    ({
      daemonId,
      trustDomain,
      trustBundle: [sample.root.der],
      certificateChain: [(await sample.device()).der, sample.issuing.der],
      tlsKey: sample.deviceKey.toPkcs8(),
    }) as unknown as PairedEnrollment;

  /** A server that presents this chain. */
  async function impostor(t: TestContext) {
    const server = tls.createServer({ ALPNProtocols: ['h2'], requestCert: true, rejectUnauthorized: false });
    server.on('tlsClientError', () => {});
    server.on('secureConnection', (socket) => socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const known = await enrollment();
    return {
      port,
      /** The code with which the device refuses; `taken` when it accepts. */
      dial: async (chain: readonly Uint8Array[], key: string): Promise<IdentityErrorCode | 'taken'> => {
        server.setSecureContext({ cert: certificatesToPem(chain), key });
        try {
          (await dialNode(`127.0.0.1:${port}`, known)).destroy();
          return 'taken';
        } catch (error) {
          assert.ok(error instanceof IdentityError, String(error));
          return error.code;
        }
      },
      /** OpenSSL's last error. */
      openssl: () =>
        new Promise<string>((resolve, reject) => {
          const socket = tls.connect({
            ...{ host: '127.0.0.1', port, servername: trustDomain, rejectUnauthorized: false },
            ca: certificatesToPem([sample.root.der]),
          });
          socket.once('error', reject);
          socket.once('secureConnect', () => {
            resolve(String(socket.authorizationError));
            socket.destroy();
          });
        }),
    };
  }

  it('connects to its daemon, and reports a clock error when only the dates are wrong', async (t) => {
    const { dial } = await impostor(t);
    const maker = await ChainMaker.create(sample, 'daemon');
    const key = sample.daemonKey.toPem();
    for (const each of dates) {
      const isValid = each[0] === valid && each[1] === valid;
      assert.equal(await dial(await maker.make(dated({}, each)), key), isValid ? 'taken' : 'CLOCK_SKEW');
    }
    const [leaf, issuing] = await maker.make({});
    assert.equal(await dial([leaf, issuing, sample.root.der], key), 'taken');
  });

  it('does not report a clock error for a foreign chain, even with expired certificates', async (t) => {
    const { dial, openssl } = await impostor(t);
    const maker = await ChainMaker.create(sample, 'daemon');
    const key = sample.daemonKey.toPem();
    let hidden = 0;
    for (const [what, difference] of mutations)
      for (const each of datesOfForeign) {
        const code = await dial(await maker.make(dated(difference, each)), key);
        // TLS itself refuses some chains.
        assert.match(code, /^(DAEMON_NOT_AUTHENTICATED|UNREACHABLE)$/, `${what}, ${dates.indexOf(each)}`);
        if (each[0] !== expired || code !== 'DAEMON_NOT_AUTHENTICATED') continue;
        if (/^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/.test(await openssl())) hidden += 1;
      }
    t.diagnostic(`dates hid what is wrong with ${hidden} of ${mutations.length} chains`);
    assert.ok(hidden > 20, `dates hid what is wrong with ${hidden} chains`);
  });

  it('does not report a clock error for another authority, daemon or device', async (t) => {
    const { dial } = await impostor(t);
    for (const each of dates) {
      const theirs = await (await ChainMaker.create(foreign, 'daemon')).make(dated({}, each));
      const device = await (await ChainMaker.create(sample, 'device')).make(dated({}, each));
      const [leaf, issuing] = await (await ChainMaker.create(sample, 'daemon')).make(dated({}, each));
      const foreignKey = foreign.daemonKey.toPem();
      assert.equal(await dial(theirs, foreignKey), 'DAEMON_NOT_AUTHENTICATED');
      assert.equal(await dial([theirs[0], issuing], foreignKey), 'DAEMON_NOT_AUTHENTICATED');
      assert.equal(await dial([theirs[0], issuing, sample.root.der], foreignKey), 'DAEMON_NOT_AUTHENTICATED');
      assert.equal(await dial([theirs[0]], foreignKey), 'DAEMON_NOT_AUTHENTICATED');
      assert.equal(await dial(device, sample.deviceKey.toPem()), 'DAEMON_NOT_AUTHENTICATED');
      assert.equal(await dial([leaf], sample.daemonKey.toPem()), 'DAEMON_NOT_AUTHENTICATED');
    }
    const another = { daemonId: '01K8ZQ4YV3BBBBBBBBBBBBBBBB', tlsKey: sample.daemonKey.publicKey };
    const other = await sample.authority.issueDaemon({
      ...(another as never as { daemonId: typeof daemonId; tlsKey: Uint8Array }),
      dnsNames: [],
      ipAddresses: [],
    });
    assert.equal(
      await dial([other.der, sample.issuing.der], sample.daemonKey.toPem()),
      'DAEMON_NOT_AUTHENTICATED',
    );
  });
});

describe('the node listener', () => {
  /** A listener whose registry accepts every leaf. */
  async function listen(t: TestContext) {
    let outcome = Promise.withResolvers<string>();
    const daemon = await sample.daemon();
    const admitted: AuthenticatedDevice = {
      ...{ deviceId, name: 'device', role: 'device', serial: '01', notAfterMs: started + 100 * day },
      ...{ renewAtMs: undefined, issuerId: daemonId },
    };
    const authenticator: DeviceAuthenticator = {
      admit: async () => {
        outcome.resolve('taken');
        return admitted;
      },
      authenticate: async () => admitted,
      revocationEpoch: 0,
      upToDate: () => undefined,
      chainJudge: new ChainJudge([sample.root.der], [sample.issuing.der]),
    };
    const listener = await Http2Listener.listen({
      host: '127.0.0.1',
      port: 0,
      credential: {
        key: sample.daemonKey,
        certificateChain: [daemon.der, sample.issuing.der],
        notBefore: daemon.notBefore,
        notAfter: daemon.notAfter,
      },
      devices: { trustBundle: [sample.root.der], authenticator },
      routes: () => {},
      clock: { now: () => new Date() },
      limits: { strangersPerSource: 10_000 },
      onEvent: (event) => {
        if (event !== 'accepted') outcome.resolve(event);
      },
      onInternal: (error) => outcome.reject(error),
    });
    t.after(() => listener.close(AbortSignal.abort()));
    return async (chain: readonly Uint8Array[], key: string): Promise<string> => {
      outcome = Promise.withResolvers();
      const socket = tls.connect({
        ...{ host: '127.0.0.1', port: listener.port, ALPNProtocols: ['h2'], servername: trustDomain },
        ...{
          cert: certificatesToPem(chain),
          key,
          ca: certificatesToPem([sample.root.der]),
          rejectUnauthorized: true,
        },
      });
      socket.on('error', () => {});
      try {
        return await outcome.promise;
      } finally {
        socket.destroy();
      }
    };
  }

  it('passes a device’s chain with only wrong dates on to the registry', async (t) => {
    const knock = await listen(t);
    const maker = await ChainMaker.create(sample, 'device');
    const key = sample.deviceKey.toPem();
    for (const [leafLife] of dates) {
      const [leaf] = await maker.make({ leaf: { life: leafLife } });
      assert.equal(await knock([leaf, sample.issuing.der], key), 'taken');
      assert.equal(await knock([leaf, sample.issuing.der, sample.root.der], key), 'taken');
    }
  });

  it('passes no foreign chain on to the registry, even with expired certificates', async (t) => {
    const knock = await listen(t);
    const maker = await ChainMaker.create(sample, 'device');
    const key = sample.deviceKey.toPem();
    const outcomes: Record<string, number> = {};
    for (const [what, difference] of mutations)
      for (const each of datesOfForeign) {
        const outcome = await knock(await maker.make(dated(difference, each)), key);
        // OpenSSL accepts this issuing CA, which our root signed but which is not ours. The leaf is ours.
        const isHarmless = each[0] === valid && each[1] === valid && difference.issuing !== undefined;
        const expected = isHarmless
          ? /^(refused_foreign_certificate|taken)$/
          : /^(refused_foreign_certificate|tls_error)$/;
        assert.match(outcome, expected, `${what}, ${dates.indexOf(each)}`);
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      }
    t.diagnostic(JSON.stringify(outcomes));
  });

  it('accepts a leaf of ours only with its issuing CA, and not without one, with a forged one, or with another one', async (t) => {
    const knock = await listen(t);
    const maker = await ChainMaker.create(sample, 'device');
    const key = sample.deviceKey.toPem();
    for (const [leafLife, issuingLife] of dates) {
      const [leaf] = await maker.make({ leaf: { life: leafLife } });
      const [, forged] = await maker.make({ issuing: { life: issuingLife, subject: 'CN=other' } });
      const chains = [[leaf], [leaf, foreign.issuing.der], [leaf, forged], [leaf, sample.root.der]];
      for (const chain of chains) assert.equal(await knock(chain, key), 'refused_foreign_certificate');
    }
  });
});
