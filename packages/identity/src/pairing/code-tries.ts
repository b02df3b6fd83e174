// How often this device has tried a code. Whoever it talks to learns with each try whether one guess at the code was right,
// so an interceptor gets as many guesses as the device makes tries, and the daemon sees none of them.

import { bytesToHex } from '@noble/curves/utils.js';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { IdentityError } from '../errors.ts';
import { lvCat } from '../lv.ts';
import type { SecretStore } from '../secret-store/port.ts';
import type { PairingCode } from './code.ts';

const secretName = 'pairing/code-tries';
const maxTries = 3;
/** No code lives longer, ms. */
const keptMs = 24 * 60 * 60_000;
/** Codes that are remembered; of more, the one tried longest ago is forgotten. */
const maxCodes = 32;

/** What rests in the secret store: sealed, and by a hash, so that the record shows no code to whoever prints it. */
interface Tries {
  readonly salt: string;
  /** The one tried last is the last. */
  readonly codes: readonly { readonly code: string; readonly tries: number; readonly atMs: number }[];
}

export interface TryingDevice {
  readonly secrets: SecretStore;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
}

/** Changes of one store's record, one after the other. */
const changes = new WeakMap<SecretStore, Promise<unknown>>();

/** @throws TOO_MANY_TRIES when the device has used up its tries of this code, and what the secret store throws. */
export async function codeMustHaveTries(device: TryingDevice, code: PairingCode): Promise<void> {
  const { codes, salt } = await read(device);
  const key = await keyOf(device.crypto, salt, code);
  if ((codes.find((each) => each.code === key)?.tries ?? 0) >= maxTries) throw tooManyTries();
}

/** Writes down one try, durably. @throws as `codeMustHaveTries`. */
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
  // A device that pairs for the first time has none, and an error costs more than a look.
  if (!(await secrets.list(secretName)).includes(secretName))
    return { salt: bytesToHex(crypto.randomBytes(16)), codes: [] };
  const { salt, codes }: Tries = JSON.parse(new TextDecoder().decode(await secrets.read(secretName)));
  const now = clock.now().getTime();
  // One from the future says that the clock was set back, and still counts.
  return { salt, codes: codes.filter(({ atMs }) => now - atMs < keptMs) };
}

async function keyOf(crypto: PairingCrypto, salt: string, { slot, secret }: PairingCode): Promise<string> {
  return bytesToHex(await crypto.sha256(lvCat('palyra-code-tries-v1', salt, slot, secret)));
}

function tooManyTries(): IdentityError {
  return new IdentityError(
    'TOO_MANY_TRIES',
    `This device has tried this code ${maxTries} times, and whoever answers may be someone in between, who guesses once with each try. Nothing was sent.`,
  );
}
