// How the Debian package's scripts treat homes in unusual places, in a copy of this machine.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repository, run, unableWithout } from '../testing/installed.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const skip = unableWithout({ adduser: 'adduser', unshare: 'util-linux' });
const scriptOf = (name: string) => readFileSync(join(repository, 'scripts/debian', name), 'utf8');

/** Before the installation, there is neither a user nor a home. */
function inCopy(script: string): string {
  const copy = join(repository, 'tests/testing/copy-of-machine.sh');
  const begin = `
    cd /root
    rm -rf /var/lib/palyra
    if getent passwd palyra >/dev/null; then deluser --quiet --system palyra; fi
    postinst() { sh -c "$postinst" postinst configure; }
    purge() { sh -c "$postrm" postrm purge; }
    user() { if getent passwd palyra >/dev/null; then echo "user: there"; else echo "user: gone"; fi; }
  `;
  return run('sh', [copy, temporaryFolder(), 'sh', '-euc', begin + script], {
    postinst: scriptOf('postinst'),
    postrm: scriptOf('postrm'),
  });
}

test('a home on an absent disk causes no failure, and a purge keeps its user', {
  skip,
}, () => {
  const said = inCopy(`
    mkdir -p /var/lib /disk/palyra
    ln -s /disk/palyra /var/lib/palyra
    postinst
    chown palyra: /disk/palyra
    mv /disk /away
    postinst
    test -L /var/lib/palyra
    purge
    user
    mv /away /disk
    stat -c 'owner: %U' /disk/palyra
  `);
  assert.match(said, /\/var\/lib\/palyra and its keys are kept/);
  assert.match(said, /^user: there$/m);
  assert.match(said, /^owner: palyra$/m);
});

test('a link to a home, and a file in place of a home, stay unchanged', { skip }, () => {
  const said = inCopy(`
    mkdir -p /disk/palyra
    ln -s /disk/palyra /var/lib/palyra
    postinst
    purge
    test -d /disk/palyra
    test -L /var/lib/palyra
    rm /var/lib/palyra
    echo important > /var/lib/palyra
    postinst
    purge
    cat /var/lib/palyra
    user
  `);
  assert.match(said, /^important$/m);
  assert.match(said, /^user: there$/m);
});

test('the user of a service with a home elsewhere stays, until that service is gone', { skip }, () => {
  const said = inCopy(`
    postinst
    install -d -o palyra /srv/keys
    printf '[Service]\\nUser=palyra\\n' > /etc/systemd/system/palyra-node.service
    purge
    test ! -e /var/lib/palyra
    user
    rm /etc/systemd/system/palyra-node.service
    purge
    user
  `);
  assert.match(said, /runs as it/);
  assert.deepEqual(said.match(/^user: .*$/gm), ['user: there', 'user: gone']);
});
