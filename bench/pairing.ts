// pairing.*: the cost of a pairing compared with its cryptography.

import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { ed25519, _map_to_curve_elligator2_curve25519 as elligator2 } from '@noble/curves/ed25519.js';
import { bytesToNumberLE, numberToBytesLE } from '@noble/curves/utils.js';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { type Figures, interleave, median, type Progress, ratio } from './measure.ts';
import { newDevice, pair } from './pair.ts';
import { timeRegistry } from './timed-registry.ts';

const rounds = 500;
const warmUp = 200;

export async function pairing(progress: Progress): Promise<Figures> {
  progress('a full pairing against its cryptographic primitives');
  const registry = await openSqliteRegistry({ path: ':memory:' });
  const secrets = new MemorySecretStore();
  const timed = timeRegistry(registry);
  const manager = await IdentityManager.open({ secrets, registry });
  const timedManager = await IdentityManager.open({ secrets, registry: timed.registry });
  const devices = await Promise.all(Array.from({ length: 2 * (rounds + warmUp) }, newDevice));
  const times = await interleave(
    {
      pairing: () => pair(manager, devices.pop()!),
      primitives: primitivesOfOnePairing(),
      registry: async () => {
        timed.takeMs();
        await pair(timedManager, devices.pop()!);
        return timed.takeMs();
      },
    },
    { rounds, warmUp },
  );
  await registry.close();
  return {
    'pairing.ratio_to_primitives': {
      ...ratio(times.pairing, times.primitives),
      target: { atMost: 1.5 },
      unit: 'ratio',
      meaning:
        'A full pairing in one process, operator, device and daemon, every row and certificate included, over the bare ' +
        'cryptography in it: 2 CPace generators, 4 X25519, 3 signatures and 5 verifications, 1 new key, and 1 check of a public key.',
      parts: {
        pairing_ms: median(times.pairing),
        primitives_ms: median(times.primitives),
        registry_ms: median(times.registry),
      },
      whenMissed:
        'Beside the primitives: 5 transactions of the registry with their audit rows (registry_ms); the device reads ' +
        'three certificates to check its chain; its key is exported, stored and imported again; 8 HKDF and 6 HMAC of the ' +
        'key schedule; the seals of code and await key; and the garbage of all that.',
    },
  };
}

/** Direct calls of node:crypto and noble's Elligator map. Each public key arrives as bytes, as from the network. */
function primitivesOfOnePairing(): () => void {
  const message = randomBytes(420);
  const identity = generateKeyPairSync('ed25519');
  const tls = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = { format: 'der', type: 'spki' } as const;
  const identityKey = identity.publicKey.export(spki);
  const identityPoint = new Uint8Array(identityKey.subarray(-32));
  const tlsKey = tls.publicKey.export(spki);
  const x25519Pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
  const x25519Spki = Buffer.from('302a300506032b656e032100', 'hex');
  const generatorString = randomBytes(256);
  const { Fp } = ed25519.Point;

  function generator(): Uint8Array {
    const hashed = hash('sha512', generatorString, 'buffer').subarray(0, 32);
    const { xMn, xMd } = elligator2(Fp.create(bytesToNumberLE(hashed)));
    return numberToBytesLE(Fp.mul(xMn, Fp.inv(xMd)), 32);
  }
  function x25519(scalar: Uint8Array, u: Uint8Array): Buffer {
    const pkcs8 = { key: Buffer.concat([x25519Pkcs8, scalar]), format: 'der', type: 'pkcs8' } as const;
    const privateKey = createPrivateKey(pkcs8);
    const publicKey = createPublicKey({ key: Buffer.concat([x25519Spki, u]), ...spki });
    return diffieHellman({ privateKey, publicKey });
  }

  return () => {
    // CPace on both sides.
    const [a, b] = [randomBytes(32), randomBytes(32)];
    const [ya, yb] = [x25519(a, generator()), x25519(b, generator())];
    const agreed = x25519(a, yb).equals(x25519(b, ya));
    // The device's keys and their proofs, its certificate, and the chain as the device checks it, with the root's own signature.
    generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const identitySignature = sign(null, message, identity.privateKey);
    const tlsKeyProof = sign('sha256', message, tls.privateKey);
    const certificateSignature = sign('sha256', message, tls.privateKey);
    const correct =
      verify(null, message, createPublicKey({ key: identityKey, ...spki }), identitySignature) &&
      verify('sha256', message, createPublicKey({ key: tlsKey, ...spki }), tlsKeyProof) &&
      !ed25519.Point.fromBytes(identityPoint, false).isSmallOrder() &&
      verify('sha256', message, tls.publicKey, certificateSignature) &&
      verify('sha256', message, tls.publicKey, certificateSignature) &&
      verify('sha256', message, tls.publicKey, certificateSignature);
    if (!agreed || !correct) throw new TypeError('the primitives of this benchmark are wrong');
  };
}
