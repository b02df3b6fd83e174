// Where the configuration says that the secret store's master key comes from, now and after a rekey.

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

type Place = Pick<DaemonPaths, 'masterKey' | 'secrets'>;

/**
 * @param options.mustExist nothing is made: something is sealed under it already.
 * @throws STORE_PERMISSIONS, STORE_FAILED, MASTER_KEY_WRONG
 */
export function openMasterKey(
  config: DaemonConfig,
  home: Place,
  options: { readonly mustExist: boolean },
): Promise<MasterKey> {
  const opened = () => open(config, home, options);
  // The key file in the home is no setting.
  return config.masterKey.path === undefined ? opened() : withSetting('masterKey.path', opened);
}

/** Whether a first start gets its key, without making anything. @throws as `openMasterKey` */
export async function mustGiveMasterKey({ masterKey }: DaemonConfig): Promise<void> {
  // A key file is made.
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
 * Re-encrypts every secret of a stopped daemon under a new master key of the same kind. May be killed at any point: the
 * old key or the new one opens the store, whichever is in place then.
 * @param next the file with the new passphrase, or with the new credential; unused for a key file, which is made anew.
 * @param configFile the daemon's configuration. Default: the one with which it was started last.
 * @throws NOTHING_FOUND without a daemon in the home, HOME_IN_USE, TypeError without the file that is needed, and what the store says.
 */
export async function rekeySecrets(
  homePath: string,
  next: string | undefined,
  configFile?: string,
): Promise<void> {
  await withStoppedDaemon(homePath, configFile, async (home, config) => {
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
    throw new TypeError(`a rekey from a ${masterKey.from} needs the file of the next one`);
  if (masterKey.from === 'credential') return { masterKey: await masterKeyFromCredential({ path: next }) };
  return nextMasterKeyForPassphrase({ storePath: home.secrets, passphrase: await readPassphrase(next) });
}

const maxPassphraseBytes = 1024;

/**
 * A line feed at the end is the editor's, not the person's.
 * @param options.mayBePipe it is read this once, so it need not be a file: `<(pass show backup)`.
 * @throws STORE_PERMISSIONS when others may read it, STORE_FAILED, MASTER_KEY_WRONG for what no person typed.
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
