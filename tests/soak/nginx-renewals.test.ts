// A web server with a device's certificate, which reloads after each renewal: docs/operations.md, "Other programs".

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { freePort } from '../testing/free-port.ts';
import { answer, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { soakTest } from '../testing/soak.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';
import { ask, missing, nginxReload, startNginx } from '../testing/web-server.ts';

soakTest(
  'nginx serves with a device’s certificate across its renewals, and no request fails',
  {
    rounds: 10,
    skip: missing('nginx', 'nginx-light'),
  },
  async (t, { count }) => {
    const home = await makeHome(t);
    const daemon = await DaemonProcess.start(t, { home });
    const deviceHome = await makeHome(t);
    const admin = await daemon.admin();
    const { code } = await admin.mintCode({});
    const words = ['pair', daemon.pairingAddress, '--code-stdin'];
    const pairing = PalyraProcess.start(words, { home: deviceHome, stdin: code });
    t.after(async () => void (await pairing.end('SIGKILL')));
    const { request_id: id } = await pairing.line(({ event }) => event === 'words');
    await admin.approvePairing({ id });
    assert.equal((await pairing.ended).exitCode, 0);

    const folder = temporaryFolder();
    const agent = PalyraProcess.start(
      ['node', 'run', '--out', join(folder, 'server'), '--on-renew', nginxReload(folder)],
      { home: deviceHome },
    );
    t.after(async () => void (await agent.end('SIGKILL')));
    await agent.line(({ event }) => event === 'connected');
    // The command cannot succeed before its server runs.
    await agent.line(({ event }) => event === 'hook_failed');
    const port = await freePort();
    await startNginx(
      t,
      folder,
      port,
      `ssl_certificate server/chain.pem; ssl_certificate_key server/key.pem; location / { return 200 here; }`,
    );

    await agent.line(({ event }) => event === 'hook_done');
    const failures = () => agent.lines.filter(({ event }) => event === 'hook_failed').length;
    const failuresBefore = failures();

    const serials = new Set<string>();
    let requests = 0;
    let isOver = false;
    const client = (async () => {
      while (!isOver) {
        const ca = await readFile(join(folder, 'server', 'bundle.pem'), 'utf8');
        const { status, serverSerial } = await ask(port, { ca });
        assert.equal(status, 200);
        serials.add(serverSerial);
        requests += 1;
        await sleep(10);
      }
    })();
    t.after(() => {
      isOver = true;
    });
    for (let renewals = 1; renewals <= count; renewals++) {
      const { serial } = await answer(['renew'], { home: deviceHome });
      await Promise.race([until('the new certificate', () => serials.has(serial)), client]);
    }
    isOver = true;
    await client;
    assert.equal(serials.size, count + 1);
    assert.ok(requests > count);
    assert.equal(failures(), failuresBefore);
  },
);
