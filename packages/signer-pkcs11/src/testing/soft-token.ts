// A real token in software, SoftHSM 2, in its own folder. It is read by the process that loads its module: this process,
// or a process that is started with `env`.

import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';

const places = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
];
const run = promisify(execFile);

export const softhsmModule = places.find(existsSync) ?? places[0]!;

/** Why tests with a token cannot run here; false when they can. */
export function missingForTokens(): string | false {
  if (spawnSync('softhsm2-util', ['--version']).status !== 0 || !existsSync(softhsmModule))
    return 'SKIPPED: no SoftHSM. Run: apt-get install softhsm2';
  try {
    createRequire(import.meta.url)('pkcs11js');
    return false;
  } catch {
    return 'SKIPPED: pkcs11js is not built. Install build-essential and python3, then run npm ci';
  }
}

export class SoftToken {
  readonly folder: string;
  readonly label: string;
  readonly pin = '481632';
  readonly pinFile: string;

  /** @param beside a token whose folder the new token shares. */
  static async make(
    _scope: { after(end: () => Promise<void>): void },
    label = `palyra ${randomUUID().slice(0, 8)}`,
    beside?: SoftToken,
  ): Promise<SoftToken> {
    const folder = beside?.folder ?? temporaryFolder();
    const token = new SoftToken(folder, label);
    await mkdir(token.#tokens, { recursive: true });
    await writeFile(
      token.env.SOFTHSM2_CONF,
      `directories.tokendir = ${token.#tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
    await token.writePin(token.pin);
    const words = ['--init-token', '--free', '--label', label, '--pin', token.pin, '--so-pin', '90909090'];
    await run('softhsm2-util', words, { env: { ...process.env, ...token.env } });
    return token;
  }

  private constructor(folder: string, label: string) {
    this.folder = folder;
    this.label = label;
    this.pinFile = join(folder, 'pin');
  }

  get env(): { readonly SOFTHSM2_CONF: string } {
    return { SOFTHSM2_CONF: join(this.folder, 'softhsm2.conf') };
  }

  /** The token's entry in config.json. */
  get caKey(): { readonly module: string; readonly token: string; readonly pinFile: string } {
    return { module: softhsmModule, token: this.label, pinFile: this.pinFile };
  }

  async writePin(pin: string): Promise<void> {
    await writeFile(this.pinFile, pin, { mode: 0o600 });
  }

  /** Removes the token. */
  unplug(): Promise<void> {
    return rename(this.#tokens, `${this.#tokens}-away`);
  }

  plugIn(): Promise<void> {
    return rename(`${this.#tokens}-away`, this.#tokens);
  }

  /** Removes a key pair, or one object of it, as the token's owner can. */
  async removeKey(
    id: string,
    which: readonly ('public' | 'private')[] = ['public', 'private'],
  ): Promise<void> {
    await this.#inToken(removal, id, which.map((each) => (each === 'public' ? 2 : 3)).join());
  }

  /** The labels of its private keys. */
  async keys(): Promise<string[]> {
    return JSON.parse(await this.#inToken(listing, '', '')) as string[];
  }

  /** Makes a key pair on P-384, which we do not use. */
  async putP384Key(id: string): Promise<void> {
    const secp384r1 = '06052b81040022';
    await this.#inToken(making, id, secp384r1);
  }

  /** Runs in a separate process, because a module caches its state. */
  async #inToken(program: string, id: string, what: string): Promise<string> {
    const hex = Buffer.from(id).toString('hex');
    const words = [softhsmModule, this.label, this.pin, hex, what];
    const { stdout } = await run(process.execPath, ['--eval', `${login}${program}`, ...words], {
      cwd: import.meta.dirname,
      env: { ...process.env, ...this.env },
    });
    return stdout;
  }

  get #tokens(): string {
    return join(this.folder, 'tokens');
  }
}

const login = `
const [module, label, pin, id, what] = process.argv.slice(1);
const pkcs11 = new (require('pkcs11js').PKCS11)();
pkcs11.load(module);
pkcs11.C_Initialize();
const slot = pkcs11.C_GetSlotList(true).find((each) => pkcs11.C_GetTokenInfo(each).label.trimEnd() === label);
const session = pkcs11.C_OpenSession(slot, 6);
pkcs11.C_Login(session, 1, pin);
`;
const removal = `
for (const objectClass of what.split(',')) {
  pkcs11.C_FindObjectsInit(session, [{ type: 0, value: Number(objectClass) }, { type: 0x102, value: Buffer.from(id, 'hex') }]);
  const found = pkcs11.C_FindObjects(session, 10);
  pkcs11.C_FindObjectsFinal(session);
  if (found.length !== 1) throw new Error(found.length + ' objects');
  pkcs11.C_DestroyObject(session, found[0]);
}
`;
const listing = `
pkcs11.C_FindObjectsInit(session, [{ type: 0, value: 3 }]);
const found = pkcs11.C_FindObjects(session, 100);
pkcs11.C_FindObjectsFinal(session);
const labels = found.map((each) => String(pkcs11.C_GetAttributeValue(session, each, [{ type: 3 }])[0].value));
console.log(JSON.stringify(labels));
`;
const making = `
const both = [{ type: 1, value: true }, { type: 0x100, value: 3 }, { type: 0x102, value: Buffer.from(id, 'hex') }];
pkcs11.C_GenerateKeyPair(
  session,
  { mechanism: 0x1040, parameter: null },
  [{ type: 0, value: 2 }, ...both, { type: 0x180, value: Buffer.from(what, 'hex') }],
  [{ type: 0, value: 3 }, ...both, { type: 0x108, value: true }],
);
`;
