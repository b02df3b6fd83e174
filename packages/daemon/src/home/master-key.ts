// Opens the secret store's master key from its configured source, and replaces it in a rekey.

import {
  FilesystemSecretStore,
  IdentityError,
  type MasterKey,
  masterKeyFromCredential,
  masterKeyFromFile,
  masterKeyFromPassphrase,
} from '@palyra/identity';
import {
  checkStrength,
  type NextMasterKey,
  nextMasterKeyForFile,
  nextMasterKeyForPassphrase,
  readCredential,
} from '@palyra/identity/keys';
import type { DaemonConfig } from '../config.ts';
import { withSetting } from '../setting.ts';
import { withStoppedDaemon } from './home.ts';
import type { DaemonPaths } from './paths.ts';
import { mustBeInFile } from './registry-place.ts';

type Place = Pick<DaemonPaths, 'masterKey' | 'secrets'>;

/**
 * @param options.mustExist do not create a key, because secrets sealed under it exist.
 * @throws STORE_PERMISSIONS, STORE_FAILED, MASTER_KEY_WRONG
 */
export function openMasterKey(
  config: DaemonConfig,
  home: Place,
  options: { readonly mustExist: boolean },
): Promise<MasterKey> {
  const opened = () => open(config, home, options);
  // The key file in the home is not a setting.
  return config.masterKey.path === undefined ? opened() : withSetting('masterKey.path', opened);
}

/** Checks whether a first start would get its key, without creating anything. @throws as `openMasterKey` */
export async function mustGiveMasterKey({ masterKey }: DaemonConfig): Promise<void> {
  // The first start creates a key file.
  if (masterKey.from === 'key-file') return;
  const { from, path } = masterKey;
  await withSetting('masterKey.path', async () =>
    from === 'credential' ? masterKeyFromCredential({ path }) : checkStrength(await readPassphrase(path)),
  );
}

async function open(
  { masterKey }: DaemonConfig,
  home: Place,
  { mustExist }: { readonly mustExist: boolean },
): Promise<MasterKey> {
  switch (masterKey.from) {
    case 'key-file':
      return masterKeyFromFile({ path: masterKey.path ?? home.masterKey, mustExist });
    case 'credential':
      return masterKeyFromCredential({ path: masterKey.path });
    case 'passphrase-file':
      return masterKeyFromPassphrase({
        storePath: home.secrets,
        passphrase: await readPassphrase(masterKey.path),
        mustExist,
      });
  }
}

/**
 * Re-encrypts every secret of a stopped daemon under a new master key of the same kind. If it is killed at any point,
 * the installed key, old or new, opens the store.
 * @param next the file with the new passphrase or credential; unused for a key file, which is generated.
 * @param configFile the daemon's configuration. Default: the one used at its last start.
 * @throws NOTHING_FOUND without a daemon in the home, HOME_IN_USE, TypeError without the file that is needed, and errors
 *   of the store.
 */
export async function rekeySecrets(
  homePath: string,
  next: string | undefined,
  configFile?: string,
): Promise<void> {
  await withStoppedDaemon(homePath, configFile, async (home, config) => {
    mustBeInFile(config, 'A rekey');
    const secrets = await FilesystemSecretStore.open({
      path: home.secrets,
      masterKey: await openMasterKey(config, home, { mustExist: true }),
    });
    try {
      await secrets.rekey(await nextMasterKey(config, home, next));
    } finally {
      await secrets.close();
    }
  });
}

async function nextMasterKey(
  { masterKey }: DaemonConfig,
  home: Place,
  next: string | undefined,
): Promise<NextMasterKey> {
  if (masterKey.from === 'key-file') return nextMasterKeyForFile({ path: masterKey.path ?? home.masterKey });
  if (next === undefined)
    throw new TypeError(`a rekey from a ${masterKey.from} needs the file with the new one`);
  if (masterKey.from === 'credential') return { masterKey: await masterKeyFromCredential({ path: next }) };
  return nextMasterKeyForPassphrase({ storePath: home.secrets, passphrase: await readPassphrase(next) });
}

const maxPassphraseBytes = 1024;

/**
 * Reads the passphrase. Ignores a line feed at the end, which editors add.
 * @param options.mayBePipe also accepts a pipe, because it is read only once: `<(pass show backup)`.
 * @throws STORE_PERMISSIONS if others may read it, STORE_FAILED, MASTER_KEY_WRONG for other contents.
 */
export async function readPassphrase(
  path: string,
  options: { readonly mayBePipe?: boolean } = {},
): Promise<string> {
  const bytes = await readCredential(path, maxPassphraseBytes, options);
  const problem = (what: string) =>
    new IdentityError(
      'MASTER_KEY_WRONG',
      `The passphrase file ${path} ${what}. Give a file with one line of text.`,
    );
  if (bytes.length > maxPassphraseBytes) throw problem('is too long');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw problem('is not text');
  }
  const passphrase = text.replace(/\r?\n$/, '');
  if (passphrase === '') throw problem('is empty');
  return passphrase;
}
