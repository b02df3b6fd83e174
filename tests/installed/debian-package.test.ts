// The Debian package: built, then installed, upgraded, removed and purged by dpkg in a copy of this machine.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { anyPorts, repository, run, unableWithout } from '../testing/installed.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const unable = unableWithout({ dpkg: 'dpkg', adduser: 'adduser', sudo: 'sudo', unshare: 'util-linux' });

let deb: string;
// A test instead of a hook, because it takes minutes.
test('npm run deb', { skip: unable }, () => {
  const folder = temporaryFolder();
  run('npm', ['run', '--silent', 'deb', '--', folder]);
  [deb] = globSync(join(folder, '*.deb')) as [string];
});

/** A shell in a copy of the machine that has the package, as `palyra.deb`. */
function inCopy(script: string): string {
  const copy = join(repository, 'tests/testing/copy-of-machine.sh');
  return run('sh', [copy, temporaryFolder(), 'sh', '-euc', `cd /root; ${script}`, 'sh', deb]);
}

/** Shell: starts the daemon as the service's user, waits until it serves, and stops it. */
const serveOnce = `
  echo '${anyPorts}' > /etc/palyra.json
  mkfifo said
  sudo -u palyra palyra daemon --home /var/lib/palyra --config /etc/palyra.json --no-code --json > said &
  exec 3< said
  read -r ready <&3
  echo "$ready"
  sudo -u palyra palyra status --home /var/lib/palyra
  sudo -u palyra palyra doctor --home /var/lib/palyra
  kill $!
  wait $!
  rm said
`;

test('it creates a user and a home, and installs a unit that systemd accepts and a command that runs under sudo on its own Node', {
  skip: unable,
}, () => {
  const said = inCopy(`
    dpkg-deb -f "$1" Installed-Size
    dpkg -i "$1" >&2
    mkdir old; printf '#!/bin/sh\\necho old >&2; exit 1\\n' > old/node; chmod 755 old/node
    PATH=/root/old:$PATH palyra --version
    stat -c '%U %a' /var/lib/palyra
    getent passwd palyra
    if command -v systemd-analyze >/dev/null; then systemd-analyze verify --man=no palyra.service; fi
    grep ExecStart /usr/lib/systemd/system/palyra.service
    ${serveOnce}
  `);
  assert.match(said, /^\d{5,6}$/m, 'KiB that it takes, for apt to say');
  assert.match(said, /^palyra 700$/m);
  assert.match(said, /^palyra:.*:\/var\/lib\/palyra:\/usr\/sbin\/nologin$/m);
  assert.match(
    said,
    /^ExecStart=\/usr\/lib\/palyra\/node_modules\/node\/bin\/node \/usr\/lib\/palyra\/bin\/palyra\.js daemon /m,
  );
  assert.match(said, /"event":"ready".*"name":"quic"/);
  assert.doesNotMatch(said, /old$/m);
});

test('an upgrade and a removal keep the home; a purge keeps a home with keys and says so, and removes an empty home', {
  skip: unable,
}, () => {
  const said = inCopy(`
    dpkg -i "$1" >&2
    mkdir -p /etc/systemd/system/palyra.service.d /etc/systemd/system/multi-user.target.wants
    ln -s /usr/lib/systemd/system/palyra.service /etc/systemd/system/multi-user.target.wants/
    ${serveOnce}
    user=$(id -u palyra)
    dpkg -i "$1" >&2
    dpkg -r palyra >&2
    test ! -e /usr/lib/palyra
    test -e /var/lib/palyra/daemon/registry.db || ls /var/lib/palyra/daemon
    dpkg -P palyra
    test ! -e /etc/systemd/system/palyra.service.d
    test ! -L /etc/systemd/system/multi-user.target.wants/palyra.service
    test -d /var/lib/palyra/daemon
    dpkg -i "$1" >&2
    test "$(id -u palyra)" = "$user"
    ${serveOnce}
    rm -r /var/lib/palyra
    dpkg -P palyra >&2
    getent passwd palyra || echo 'no user'
  `);
  assert.match(said, /\/var\/lib\/palyra and its keys are kept/);
  assert.match(said, /^no user$/m);
  const [first, second] = [...said.matchAll(/"root_fingerprint":"(\w+)"/g)].map(([, root]) => root);
  assert.equal(first, second, 'the same daemon');
});
