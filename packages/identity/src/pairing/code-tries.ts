// Counts this device's tries of a code. With each try, the peer learns whether one guess at the code was right. So an
// interceptor gets one guess for each try, and the daemon sees none of them.

import { bytesToHex } from '@noble/curves/utils.js';
import type { Clock } from '../clock.ts';
import type { DeviceCrypto } from '../crypto/port.ts';
import { IdentityError } from '../errors.ts';
import { lvCat } from '../lv.ts';
import type { SecretStore } from '../secret-store/port.ts';
import type { PairingCode } from './code.ts';

const secretName = 'pairing/code-tries';
const maxTries = 3;
/** No code lives longer, ms. */
const keptMs = 24 * 60 * 60_000;
/** Number of codes to remember. The one tried longest ago is forgotten first. */
const maxCodes = 32;

/** The sealed record in the secret store. It contains only hashes of codes, so that printing it reveals no code. */
interface Tries {
  readonly salt: string;
  /** In the order of their last try. */
  readonly codes: readonly { readonly code: string; readonly tries: number; readonly atMs: number }[];
}

export interface TryingDevice {
  readonly secrets: SecretStore;
  readonly crypto: DeviceCrypto;
  readonly clock: Clock;
}

/** Changes of a store's record run one after the other. */
const changes = new WeakMap<SecretStore, Promise<unknown>>();

/** @throws TOO_MANY_TRIES if the device has used up its tries of this code; errors of the secret store. */
export async function codeMustHaveTries(device: TryingDevice, code: PairingCode): Promise<void> {
  const { codes, salt } = await read(device);
  const key = await keyOf(device.crypto, salt, code);
  if ((codes.find((each) => each.code === key)?.tries ?? 0) >= maxTries) throw tooManyTries();
}

/** Records one try durably. @throws as `codeMustHaveTries`. */
export async function takeTry(device: TryingDevice, code: PairingCode): Promise<void> {
  const before = changes.get(device.secrets) ?? Promise.resolve();
  const change = before.then(() => countTry(device, code));
  changes.set(
    device.secrets,
    change.catch(() => {}),
  );
  await change;
}

async function countTry(device: TryingDevice, code: PairingCode): Promise<void> {
  const { codes, salt } = await read(device);
  const key = await keyOf(device.crypto, salt, code);
  const tries = codes.find((each) => each.code === key)?.tries ?? 0;
  if (tries >= maxTries) throw tooManyTries();
  const others = codes.filter((each) => each.code !== key);
  const counted = { code: key, tries: tries + 1, atMs: device.clock.now().getTime() };
  const next: Tries = { salt, codes: [...others.slice(1 - maxCodes), counted] };
  await device.secrets.write(secretName, new TextEncoder().encode(JSON.stringify(next)));
}

async function read({ secrets, crypto, clock }: TryingDevice): Promise<Tries> {
  // A device that pairs for the first time has no record, and an exception costs more than a check.
  if (!(await secrets.list(secretName)).includes(secretName))
    return { salt: bytesToHex(crypto.randomBytes(16)), codes: [] };
  const { salt, codes }: Tries = JSON.parse(new TextDecoder().decode(await secrets.read(secretName)));
  const now = clock.now().getTime();
  // A time in the future means that the clock was set back. It still counts.
  return { salt, codes: codes.filter(({ atMs }) => now - atMs < keptMs) };
}

async function keyOf(crypto: DeviceCrypto, salt: string, { slot, secret }: PairingCode): Promise<string> {
  return bytesToHex(await crypto.sha256(lvCat('palyra-code-tries-v1', salt, slot, secret)));
}

function tooManyTries(): IdentityError {
  return new IdentityError(
    'TOO_MANY_TRIES',
    `This device has tried this code ${maxTries} times, and the peer may be an interceptor, which gets one guess with each try. Nothing was sent.`,
  );
}
