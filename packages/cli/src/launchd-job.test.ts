// The launchd job, read by another implementation of property lists: Python's plistlib.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { runRecorded } from './testing/recorded-run.ts';

const executable = ['/opt/palyra/node', '/opt/palyra/palyra.js'] as const;

async function job(...args: readonly string[]) {
  const run = await runRecorded({ args, executable });
  assert.equal(run.exitCode, 0, run.stderr);
  const script = 'import plistlib, json, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))';
  const read = spawnSync('/usr/bin/python3', ['-c', script], { input: run.stdout, encoding: 'utf8' });
  assert.equal(read.status, 0, read.stderr);
  return { said: run.stderr, job: JSON.parse(read.stdout) };
}

test("the daemon's job has absolute paths, and restarts slowly and only after a failure", async () => {
  const { said, job: daemon } = await job('daemon', 'install', '--launchd', '--config', '/etc/palyra.json');
  assert.deepEqual(daemon, {
    Label: 'internal.palyra.daemon',
    ProgramArguments: [
      ...executable,
      ...['daemon', '--home', '/var/lib/palyra', '--no-code', '--config', '/etc/palyra.json'],
    ],
    UserName: 'palyra',
    RunAtLoad: true,
    KeepAlive: { SuccessfulExit: false },
    ThrottleInterval: 30,
    ExitTimeOut: 75,
    Umask: 0o077,
    StandardOutPath: '/var/lib/palyra/palyra.log',
    StandardErrorPath: '/var/lib/palyra/palyra.log',
  });
  assert.match(said, /launchctl bootstrap system \/Library\/LaunchDaemons\/internal\.palyra\.daemon\.plist/);
});

test("the agent's job of one person, with special characters in its arguments", async () => {
  const hook = `echo "<a> & 'b' \u00e4 ]]>"`;
  const { said, job: node } = await job(
    'node',
    'install',
    '--launchd',
    '--user',
    '--out',
    '/srv/a&b',
    '--on-renew',
    hook,
  );
  assert.deepEqual(node.ProgramArguments.slice(2), [
    ...['node', 'run', '--home', '/home/somebody/.palyra', '--out=/srv/a&b', `--on-renew=${hook}`],
  ]);
  assert.equal(node.UserName, undefined);
  assert.match(
    said,
    /gui\/\$\(id -u\) \/home\/somebody\/Library\/LaunchAgents\/internal\.palyra\.node\.plist/,
  );
});

for (const [why, args] of [
  ['cannot contain', ['node', 'install', '--launchd', '--out', '/a', '--on-renew', 'a\u0001b']],
  ['leave out --launchd', ['daemon', 'install', '--launchd', '--credential', '/a']],
] as const) {
  test(`${JSON.stringify(args.join(' '))} is refused: ${why}`, async () => {
    const { exitCode, stderr } = await runRecorded({ args, executable });
    assert.equal(exitCode, 2);
    assert.ok(stderr.includes(why), stderr);
  });
}
