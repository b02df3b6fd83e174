// A machine without the native QUIC library: everything runs over HTTP/2, and a request for QUIC gets an error that says what is missing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quicFirst } from '@palyra/agent';
import { examineHome } from '@palyra/daemon/home';
import { hasCode } from '@palyra/identity';
import { dialNode } from '@palyra/rpc';
import { Problem_Part } from '@palyra/rpc/admin';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

// The library searches for its native part here when this variable is set. It reads the variable once, at first use.
process.env.NAPI_RS_NATIVE_LIBRARY_PATH = '/nowhere/http3.node';

const systemTrust = process.env.SSL_CERT_FILE;
const platform = `${process.platform}-${process.arch}`;
const saysWhatToDo = new RegExp(
  `^QUIC needs the native library of @currentspace/http3, which .*${platform}.*npm ci`,
);

test('without its library the daemon serves HTTP/2 and says what is missing, for which platform, and what to do', async (t) => {
  const told: unknown[] = [];
  const daemon = await TestDaemon.start(t, { onError: (error) => told.push(error) });
  assert.deepEqual(
    daemon.running.listeners.map(({ name }) => name),
    ['pairing', 'node', 'admin'],
  );
  const [problem] = told;
  assert.ok(hasCode(problem, 'QUIC_UNAVAILABLE'), String(problem));
  assert.match(problem.message, saysWhatToDo);

  const { problems } = await daemon.admin.getStatus({});
  assert.deepEqual(
    problems.map(({ part, code }) => ({ part, code })),
    [{ part: Problem_Part.QUIC, code: 'QUIC_UNAVAILABLE' }],
  );
  assert.match(problems[0]!.message, saysWhatToDo);
  assert.match(problems[0]!.message, /quic\.enabled/);
  const finding = (await examineHome(daemon.home, new Date())).find(({ check }) => check === 'quic');
  assert.equal(finding?.verdict, 'warning');
  assert.match(finding.message, saysWhatToDo);

  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  assert.equal(enrollment.quicAddress, undefined);
  // The daemon may have begun to serve QUIC: a device learns this only from `endpoints`.
  const { message, fields } = await expectCode(dialNodeQuic(createQuic(), enrollment), 'UNREACHABLE');
  assert.match(message, /when this device was paired/);
  assert.equal(fields.about, 'quic_endpoints');
  // As if announced by a daemon that serves QUIC.
  const withQuic = { ...enrollment, quicAddress: '127.0.0.1:9' };
  const http2 = () => dialNode(daemon.nodeAddress, enrollment);
  const quic = createQuic();
  const connection = await quicFirst((asked) => dialNodeQuic(quic, asked), http2)(withQuic);
  daemon.closeAtEnd(connection);
  assert.equal(connection.name, 'http2');
  assert.match(connection.quicProblem ?? '', saysWhatToDo);
  await assert.rejects(dialNodeQuic(quic, withQuic), (error) => hasCode(error, 'QUIC_UNAVAILABLE'));
  // The attempt leaves nothing in the environment that child processes would inherit.
  assert.equal(process.env.SSL_CERT_FILE, systemTrust);
});
