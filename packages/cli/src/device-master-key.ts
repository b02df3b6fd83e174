// The master key of this machine as a device: in a key file, or in the keychain of the operating system. The file
// `master-key.json` says that the key is in the keychain, and under which account. It is written and removed in one step, so a
// killed move leaves the key where the file says.

import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FilesystemSecretStore, IdentityError, MasterKey, masterKeyFromFile } from '@palyra/identity';
import {
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  syncFolder,
  withStoreErrors,
} from '@palyra/identity/files';
import { hasSecretStore, nextMasterKeyForFile } from '@palyra/identity/keys';
import type { Home } from './home.ts';
import { Keychain } from './keychain.ts';

const keyBytes = 32;
const maxPlaceBytes = 256;

/**
 * @param options.mustExist do not create a key, because secrets sealed under it exist.
 * @throws MASTER_KEY_WRONG, STORE_FAILED, STORE_PERMISSIONS
 */
export async function deviceMasterKey(
  home: Home,
  options: { readonly mustExist: boolean },
): Promise<MasterKey> {
  const account = await keychainAccount(home);
  if (account === undefined) return masterKeyFromFile({ path: home.deviceMasterKey, ...options });
  const bytes = await new Keychain(account).read();
  if (bytes?.length === keyBytes) return new MasterKey(bytes);
  throw new IdentityError(
    'MASTER_KEY_WRONG',
    `The keychain does not give out the master key of this device (service palyra, account ${account}). Unlock the keychain. If the key was deleted there, nothing in ${home.deviceSecrets} opens any more.`,
  );
}

/** The account in the keychain. Undefined while the key is in the key file. @throws MASTER_KEY_WRONG */
export async function keychainAccount({ deviceKeyPlace }: Home): Promise<string | undefined> {
  const bytes = await withStoreErrors(deviceKeyPlace, () =>
    readPrivateFile(deviceKeyPlace, maxPlaceBytes + 1),
  );
  if (!bytes) return undefined;
  const [, account] = /^\{"keychain":"([0-9a-f]{32})"\}\n$/.exec(Buffer.from(bytes).toString()) ?? [];
  if (account) return account;
  throw new IdentityError('MASTER_KEY_WRONG', `${deviceKeyPlace} is damaged. Restore it from a backup.`);
}

/**
 * Makes a new master key in the keychain and seals everything under it. The key file is removed.
 * @returns false if the key is there already.
 * @throws STORE_FAILED without a keychain; nothing has changed then. HOME_IN_USE, and errors of the store.
 */
export async function moveToKeychain(home: Home): Promise<boolean> {
  if ((await keychainAccount(home)) !== undefined) {
    // Left behind by a killed move.
    await rm(home.deviceMasterKey, { force: true });
    return false;
  }
  const account = randomBytes(16).toString('hex');
  const bytes = randomBytes(keyBytes);
  const keychain = new Keychain(account);
  await keychain.write(bytes);
  try {
    await withStore(home, (store) =>
      store.rekey({
        masterKey: new MasterKey(bytes),
        install: () =>
          placed(home, (place) => replaceFile(place, Buffer.from(`{"keychain":"${account}"}\n`))),
      }),
    );
  } catch (error) {
    // This key is needed only if the file names it.
    if ((await keychainAccount(home)) !== account) await keychain.remove().catch(() => {});
    throw error;
  }
  await rm(home.deviceMasterKey, { force: true });
  return true;
}

/**
 * Makes a new master key in the key file and seals everything under it. The key in the keychain is removed.
 * @returns false if the key is there already.
 * @throws as `moveToKeychain`
 */
export async function moveToKeyFile(home: Home): Promise<boolean> {
  const account = await keychainAccount(home);
  if (account === undefined) return false;
  const next = nextMasterKeyForFile({ path: home.deviceMasterKey });
  await withStore(home, (store) =>
    store.rekey({
      masterKey: next.masterKey,
      async install() {
        await next.install?.();
        await placed(home, async (place) => {
          await rm(place);
          // The key in the keychain is removed next, and the file must not come back after that.
          await syncFolder(dirname(place));
        });
      },
    }),
  );
  await new Keychain(account).remove();
  return true;
}

async function withStore(home: Home, work: (store: FilesystemSecretStore) => Promise<void>): Promise<void> {
  const mustExist = await hasSecretStore(home.deviceSecrets);
  const masterKey = await deviceMasterKey(home, { mustExist });
  const store = await FilesystemSecretStore.open({ path: home.deviceSecrets, masterKey });
  try {
    await work(store);
  } finally {
    await store.close();
  }
}

function placed({ deviceKeyPlace }: Home, work: (place: string) => Promise<void>): Promise<void> {
  return withStoreErrors(deviceKeyPlace, async () => {
    await removeLeftovers(dirname(deviceKeyPlace), deviceKeyPlace);
    await work(deviceKeyPlace);
  });
}
