// A daemon answers with terminal control characters, and every command that prints an answer runs against it. The commands come
// from the program's own list, so a new command is included automatically, and must have called the daemon.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import http2 from 'node:http2';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  create,
  type DescField,
  type DescMessage,
  type DescService,
  type Message,
  ScalarType,
} from '@bufbuild/protobuf';
import { Code, ConnectError, type ConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { IdentityError } from '@palyra/identity';
import { storeEnrollment } from '@palyra/identity/device';
import { AdminService, NodeService, PairingService } from '@palyra/rpc';
import { toConnectError } from '@palyra/rpc/transport';
import type { Command } from 'commander';
import { openDeviceStore } from '../../packages/cli/src/device-store.ts';
import { resolveHome } from '../../packages/cli/src/home.ts';
import { buildProgram } from '../../packages/cli/src/program.ts';
import { recorded, runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { deviceListener } from '../testing/device-listener.ts';
import { listenAsDaemon, selfSigned } from '../testing/lying-daemon.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

/** Sets the clipboard in both spellings, reverses and hides text, clears the screen and forges a line. */
const evil =
  'x\u001b]52;c;ZXZpbA==\u0007\u009d52;c;ZXZpbA==\u009c\u202ey\u2066\u200b\u{e0041}\u2028\u007f\r\nFORGED\u001b[2J';
const id = '01KAT0MZP8C4T7T1JQ5Z7K3QX9';

/** Values by field name that let a command continue where meaningless text would stop it. */
type Honest = Readonly<Record<string, unknown>>;

/** Every field is set, and every text is hostile. */
function hostile(schema: DescMessage, honest: Honest, time: bigint): Message {
  const value = (field: DescField): unknown => {
    if (field.enum) {
      const known = field.enum.values.find(({ localName }) => localName === honest[field.name]);
      return known?.number ?? 99;
    }
    if (field.name in honest) return honest[field.name];
    if (field.message) return hostile(field.message, honest, time);
    switch (field.scalar) {
      case ScalarType.STRING:
        return evil;
      case ScalarType.BOOL:
        return true;
      case ScalarType.BYTES:
        return new TextEncoder().encode(JSON.stringify({ [evil]: evil }));
      case ScalarType.INT64:
      case ScalarType.UINT64:
        return time;
      default:
        return 7;
    }
  };
  const fields = schema.fields.map((field) => [
    field.localName,
    field.fieldKind === 'list' && !(field.name in honest) ? [value(field), value(field)] : value(field),
  ]);
  return create(schema, Object.fromEntries(fields));
}

const lastDay = 8_640_000_000_000_000n;
const today = 1_790_000_000_000n;

const answers: readonly (readonly [what: string, honest: Honest, time: bigint])[] = [
  ['in every field', {}, today],
  [
    'in the free-text fields',
    {
      state: 'PENDING_APPROVAL',
      tier: 'ROOT',
      provider: 'PKCS11',
      ok: false,
      detail_json: JSON.stringify({ [evil]: evil }),
      next_after: '',
      role: 'OPERATOR',
      continuity: 'ANOTHER_KEY',
      id,
    },
    today,
  ],
  ['of a state that has ended', { state: 'REJECTED', ok: true, detail_json: '[]', next_after: '' }, today],
  ['with times outside the calendar', { ok: false, next_after: '' }, 2n ** 63n - 1n],
  ['with the last possible time', { ok: false, broken_at: 0n, next_after: '' }, lastDay],
];

const failures: readonly (readonly [what: string, error: () => ConnectError])[] = [
  ['with a code', () => toConnectError(new IdentityError('STORE_FAILED', evil), { operator: true }).error],
  ['without a code', () => new ConnectError(evil, Code.Internal)],
  ['as unknown', () => new ConnectError(evil, Code.Unimplemented)],
];

const throws = (error: () => ConnectError) => (): never => {
  throw error();
};
const kinds = [
  ...answers.map(
    ([what, honest, time]) =>
      [`an answer ${what}`, ({ output }: { output: DescMessage }) => hostile(output, honest, time)] as const,
  ),
  ...failures.map(([what, error]) => [`an error ${what}`, throws(error)] as const),
];

interface Hostile {
  /** In every answer. */
  answer: (method: { readonly name: string; readonly output: DescMessage }) => Message;
  /** Names of the called methods. */
  readonly called: string[];
}

function routesOf(service: DescService, hostile: Hostile): (router: ConnectRouter) => void {
  return (router) => void router.service(service, handlersOf(service, hostile));
}

function handlersOf(service: DescService, hostile: Hostile): object {
  const handlers = service.methods.map((method) => {
    const answer = () => {
      hostile.called.push(method.name);
      return hostile.answer(method);
    };
    return [
      method.localName,
      method.methodKind.endsWith('streaming')
        ? async function* () {
            yield answer();
          }
        : answer,
    ];
  });
  return Object.fromEntries(handlers);
}

/** On the admin socket of a home. */
async function serveAdmin(t: TestContext, home: string, hostile: Hostile): Promise<void> {
  await mkdir(join(home, 'daemon'), { recursive: true, mode: 0o700 });
  const server = http2.createServer(connectNodeAdapter({ routes: routesOf(AdminService, hostile) }));
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(join(home, 'daemon', 'admin.sock'), resolve));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
}

/** Commands that call no daemon, and commands of a device, which the last tests cover. */
const elsewhere: ReadonlySet<string> = new Set([
  ...['daemon', 'daemon install', 'daemon uninstall', 'backup', 'restore', 'secrets rekey', 'doctor'],
  ...[
    'ca set-aside',
    'completion',
    'node use',
    'node forget',
    'node endpoints',
    'node keychain',
    'registry move',
    'registry sql',
    'registry prepare',
    'node install',
    'node uninstall',
  ],
  ...['pair', 'renew', 'node status', 'node run'],
]);

/** Arguments that let the command reach the daemon without a prompt. */
const options: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'devices revoke': [['--yes'], ['--yes', '--certificate', 'abcd']],
  'devices set-role': [['--yes']],
  'pairing code': [[], ['--qr']],
  'ca export': [[], ['--format', 'spiffe']],
};

const operands: Readonly<Record<string, string>> = {
  name: 'kitchen',
  role: 'operator',
  step: 'status',
  capability: 'echo',
};

function leaves(command: Command, path: readonly string[] = []): [path: string, command: Command][] {
  const below = command.commands.flatMap((each) => leaves(each, [...path, each.name()]));
  const isOne = command.commands.length === 0 || path.join(' ') === 'daemon';
  return isOne ? [[path.join(' '), command], ...below] : below;
}

async function commandLines(): Promise<string[][]> {
  return leaves(await buildProgram(recorded().invocation))
    .filter(([path]) => !elsewhere.has(path))
    .flatMap(([path, command]) => {
      const words =
        path === 'complete'
          ? ['--', 'why', '']
          : command.registeredArguments.map((each) => operands[each.name()] ?? id);
      const lines = (options[path] ?? [[]]).map((more) => [...path.split(' '), ...more, ...words]);
      // Without the request, the command would ask about the only one.
      return path === 'pairing approve' ? [...lines, ['pairing', 'approve']] : lines;
    });
}

/** Checks for control, invisible and direction-changing characters, and for forged lines. */
function assertPlain(text: string, what: string): void {
  // Closed isolates around text that was made printable.
  const open = text.replaceAll(/\u2068([^\u2066-\u2069\n]*)\u2069/g, '$1');
  const found = /[^\P{C}\n\t]|[\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]|^FORGED/mu.exec(open);
  assert.equal(
    found,
    null,
    `${what} prints ${JSON.stringify(found)}: ${JSON.stringify(text.slice(0, 2000))}`,
  );
}

async function assertSafe(
  args: readonly string[],
  home: string,
  what: string,
  input?: string,
): Promise<void> {
  for (const json of [false, true]) {
    const run = await runRecorded({
      args: ['--home', home, ...(json ? ['--json'] : []), ...args],
      columns: 100,
      noColor: true,
      ...(input !== undefined && { input }),
    });
    const label = `${args.join(' ')}${json ? ' --json' : ''}, ${what},`;
    assertPlain(run.stdout, label);
    assertPlain(run.stderr, label);
    assert.doesNotMatch(run.stdout + run.stderr, /\[INTERNAL\]\n {4}at|internal error occurred/, label);
    if (args[0] === 'complete')
      for (const line of run.stdout.split('\n').slice(1).filter(Boolean))
        assert.match(line, /^[0-9A-Z]{8}\t/);
    else if (json) for (const line of run.stdout.split('\n').filter(Boolean)) JSON.parse(line);
  }
}

test('whatever a daemon answers, no command lets it reach the terminal', async (t) => {
  const home = temporaryFolder();
  const daemon: Hostile = { answer: () => assert.fail(), called: [] };
  await serveAdmin(t, home, daemon);
  const lines = await commandLines();
  assert.ok(lines.length > 25);
  for (const [what, answer] of kinds) {
    daemon.answer = answer;
    for (const args of lines) {
      daemon.called.length = 0;
      await assertSafe(args, home, what);
      assert.ok(daemon.called.length > 0, `${args.join(' ')} did not ask the daemon`);
    }
  }
});

test('whatever the daemon of a device answers, it reaches no terminal either', async (t) => {
  const daemon: Hostile = { answer: () => assert.fail(), called: [] };
  const { address, device, paired } = await deviceListener(t, { routes: routesOf(NodeService, daemon) });
  const home = temporaryFolder();
  const secrets = await openDeviceStore(resolveHome(home, recorded().invocation));
  await device.identity.store(secrets);
  await storeEnrollment(secrets, { ...paired, nodeAddress: address });
  await secrets.close();
  for (const [what, answer] of kinds) {
    daemon.answer = answer;
    await assertSafe(['node', 'status'], home, what);
    await assertSafe(['renew'], home, what);
  }
  assert.ok(daemon.called.includes('Status') && daemon.called.includes('Renew'));
  // Ends the agent, because reconnecting cannot help.
  const final = throws(() => toConnectError(new IdentityError('DEVICE_REVOKED', evil)).error);
  daemon.answer = ({ name, output }) => (name === 'Events' ? final() : hostile(output, {}, today));
  await assertSafe(['node', 'run', '--transport', 'http2'], home, 'an error that is final');
  assert.ok(daemon.called.includes('Events'));
});

test('whatever answers a pairing, it reaches no terminal either', async (t) => {
  const daemon: Hostile = { answer: () => assert.fail(), called: [] };
  const { cert, key } = await selfSigned();
  const address = await listenAsDaemon(t, { cert, key }, handlersOf(PairingService, daemon));
  for (const [what, answer] of kinds) {
    daemon.answer = answer;
    await assertSafe(
      ['pair', address, '--code-stdin', '--new-request'],
      temporaryFolder(),
      what,
      '123-456789',
    );
  }
  assert.ok(daemon.called.includes('Open'));
});
