import assert from 'node:assert/strict';
import { chown, mkdir, open, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { takeAlone } from '@palyra/identity/files';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { findDaemon, rememberConfig, takeHome } from './home.ts';
import { withConfig } from './paths.ts';

const secret = { mode: 0o600 };

test('a failed first start leaves files that somebody else created meanwhile', async () => {
  const home = await takeHome(join(temporaryFolder(), 'home'));
  for (const path of [home.masterKey, home.registry, `${home.registry}-wal`, home.namedConfig, home.config])
    await writeFile(path, '', secret);
  await writeFile(join(home.path, 'notes.txt'), '');
  await home.abandon();
  assert.deepEqual((await readdir(home.path)).sort(), ['config.json', 'notes.txt']);
});

test('the files of a failed first start are removed before another start can take the home', async () => {
  const home = await takeHome(join(temporaryFolder(), 'home'));
  await mkdir(home.secrets, { mode: 0o700 });
  for (let at = 0; at < 300; at += 1) await writeFile(join(home.secrets, String(at)), '', secret);
  await writeFile(home.registry, '', secret);
  let isOver = false;
  const abandoned = home.abandon().finally(() => {
    isOver = true;
  });
  while (!isOver) {
    // The folder may be gone already.
    const next = await takeAlone(join(home.path, 'lock')).catch(() => undefined);
    if (!next) continue;
    const left = await readdir(home.path).catch((): string[] => []);
    assert.ok(!left.includes('registry.sqlite') && !left.includes('secrets'), left.join());
    next.close();
    break;
  }
  await abandoned;
});

test('the recorded configuration is always either the old one or the new one', async () => {
  const home = await takeHome(join(temporaryFolder(), 'home'));
  const [old, next] = [withConfig(home, '/etc/palyra/old.json'), withConfig(home, '/etc/palyra/next.json')];
  await rememberConfig(old);
  // The file is written beside it and takes its place: whoever has the old one open sees no change.
  const before = await open(home.namedConfig);
  await rememberConfig(next);
  assert.equal(await before.readFile('utf8'), old.config);
  await before.close();
  assert.equal((await findDaemon(dirname(home.path))).config, next.config);
  await writeFile(home.namedConfig, '');
  await assert.rejects(findDaemon(dirname(home.path)), {
    code: 'STORE_FAILED',
    fields: { about: 'configuration' },
  });
  home.release();
});

test('nobody else can choose the configuration', { skip: process.geteuid?.() !== 0 }, async () => {
  const home = await takeHome(join(temporaryFolder(), 'home'));
  await rememberConfig(withConfig(home, '/etc/palyra/config.json'));
  await chown(home.namedConfig, 65534, 65534);
  const found = () => findDaemon(dirname(home.path));
  await assert.rejects(found(), { code: 'STORE_PERMISSIONS' });
  await rm(home.namedConfig);
  const elsewhere = join(temporaryFolder(), 'elsewhere');
  await writeFile(elsewhere, '/etc/palyra/config.json', secret);
  await symlink(elsewhere, home.namedConfig);
  await assert.rejects(found(), { code: 'STORE_PERMISSIONS' });
  home.release();
});
