// A machine without the native library of QUIC: everything runs over HTTP/2, and whoever wants QUIC is told what is missing.

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

// Where the library looks for its native part when this is set; read once, when it is first needed.
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
  // The daemon may serve it since: a device is told only what `endpoints` says.
  const { message, fields } = await expectCode(dialNodeQuic(createQuic(), enrollment), 'UNREACHABLE');
  assert.match(message, /when this device was paired/);
  assert.equal(fields.about, 'quic_endpoints');
  // As a daemon that serves QUIC would have told it.
  const withQuic = { ...enrollment, quicAddress: '127.0.0.1:9' };
  const http2 = () => dialNode(daemon.nodeAddress, enrollment);
  const quic = createQuic();
  const connection = await quicFirst((asked) => dialNodeQuic(quic, asked), http2)(withQuic);
  daemon.closeAtEnd(connection);
  assert.equal(connection.name, 'http2');
  assert.match(connection.quicProblem ?? '', saysWhatToDo);
  await assert.rejects(dialNodeQuic(quic, withQuic), (error) => hasCode(error, 'QUIC_UNAVAILABLE'));
  // Nothing is left of the attempt that other programs would inherit.
  assert.equal(process.env.SSL_CERT_FILE, systemTrust);
});
