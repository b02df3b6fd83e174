import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Code, ConnectError } from '@connectrpc/connect';
import { findTrailerError, setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { errorCodes, errorSubjects, familyOf } from '@palyra/identity/errors';
import { fromConnectError, toConnectError } from './error-map.ts';
import { ErrorInfoSchema } from './gen/palyra/error/v1/error_pb.js';

const storeCodes = errorCodes.filter((code) => familyOf(code) === 'store');

/** The error after its way over the wire: the server's library writes gRPC trailers, the client's library reads them. */
function overTheWire(error: ConnectError): ConnectError {
  const trailers = new Headers();
  setTrailerStatus(trailers, error);
  return findTrailerError(trailers) ?? assert.fail('the trailers hold no error');
}

test('every code survives the way to the peer, with its message and when to retry', () => {
  assert.ok(errorCodes.length > 40 && storeCodes.length > 10);
  for (const code of errorCodes) {
    const sent = new IdentityError(code, 'Häuser, "quoted", 100 % – do this.', { retryAfterMs: 1234 });
    const { error } = toConnectError(sent, { operator: true });
    const received = fromConnectError(overTheWire(error));
    assert.equal(received.code, code);
    assert.equal(received.message, sent.message);
    assert.equal(received.retryAfterMs, 1234, code);
    assert.notEqual(error.code, Code.Unknown, code);
  }
});

test('the fields of an error reach the peer, except names and paths of this machine', () => {
  const id = '01KAT0MZP8C4T7T1JQ5Z7K3QX9';
  for (const about of errorSubjects) {
    const fields = { about, deviceId: id, pairingId: id };
    const error = new IdentityError('KEY_IN_USE', 'No.', { ...fields, user: 'anna', path: '/home/anna' });
    const received = fromConnectError(overTheWire(toConnectError(error).error));
    assert.deepEqual(received.fields, fields);
  }
});

test('a malformed field is left out, because it may end up in a command', () => {
  for (const deviceId of [
    '$(reboot)',
    '01KAT0MZP8C4T7T1JQ5Z7K3QX9;',
    '01kat0mzp8c4t7t1jq5z7k3qx9',
    '\u001b[2J',
  ]) {
    const wire = new ConnectError('words', Code.FailedPrecondition);
    const value = { code: 'KEY_IN_USE', deviceId, pairingId: deviceId, about: 9999 };
    wire.details.push({ desc: ErrorInfoSchema, value });
    assert.deepEqual(fromConnectError(overTheWire(wire)).fields, {});
  }
});

test('an uncaught refusal is printed in a few lines, without the schema of its detail', () => {
  const { error } = toConnectError(new IdentityError('DEVICE_REVOKED', 'Shut out.', { retryAfterMs: 5 }));
  error.stack = 'ConnectError: Shut out.';
  // Node prints an uncaught error to this depth.
  const lines = inspect(error, { depth: 5 }).split('\n');
  assert.ok(lines.length < 25, `${lines.length} lines`);
  const known = fromConnectError(error);
  assert.deepEqual(
    [known.code, known.retryAfterMs],
    ['DEVICE_REVOKED', 5],
    'before the error goes over the wire',
  );
});

test('an error over a limit also says in a header when to retry, in whole seconds', () => {
  const limited = new IdentityError('RATE_LIMITED', 'Slowly.', { retryAfterMs: 1001 });
  const { error } = toConnectError(limited);
  assert.equal(error.code, Code.ResourceExhausted);
  assert.equal(error.metadata.get('retry-after'), '2');
  const other = toConnectError(new IdentityError('NOT_PAIRED', 'No.')).error;
  assert.equal(other.metadata.get('retry-after'), null);
  assert.equal(fromConnectError(overTheWire(other)).retryAfterMs, undefined);
});

test('a foreign error tells the peer nothing, and goes to the log', () => {
  const secret = 'ENOENT /home/anna/.palyra/daemon/secrets';
  for (const thrown of [
    new Error(secret),
    new TypeError(secret),
    Object.assign(new Error(secret), { code: 'NOT_PAIRED' }),
    secret,
    { message: secret },
    null,
    undefined,
  ]) {
    for (const operator of [true, false]) {
      const { error, internal } = toConnectError(thrown, { operator });
      assert.equal(internal, true);
      const trailers = new Headers();
      setTrailerStatus(trailers, error);
      const text = JSON.stringify([...trailers].map(([, value]) => [value, atobOrNothing(value)]));
      assert.ok(!text.includes('anna'), text);
      assert.equal(fromConnectError(overTheWire(error)).code, 'INTERNAL');
    }
  }
});

test('when a store fails, every peer gets the code, only the operator gets the message, and the log gets everything', () => {
  for (const code of storeCodes) {
    const failed = new IdentityError(code, 'The disk of the registry /home/anna/registry is full.');
    const toDevice = toConnectError(failed);
    // The registry logs once that its database is away.
    assert.equal(toDevice.internal, code !== 'STORE_UNREACHABLE', code);
    assert.equal(fromConnectError(overTheWire(toDevice.error)).code, code);
    assert.ok(!toDevice.error.message.includes('anna'));
    const toOperator = toConnectError(failed, { operator: true });
    assert.equal(toOperator.internal, true);
    assert.ok(toOperator.error.message.includes('anna'));
  }
});

test('a cause is never sent', () => {
  const caused = new IdentityError('UNREACHABLE', 'Nobody answers.', { cause: new Error('10.0.0.7') });
  const { error, internal } = toConnectError(caused);
  assert.equal(internal, false);
  assert.equal(error.cause, undefined);
});

test("Connect's own errors pass through unchanged", () => {
  const own = new ConnectError('unimplemented', Code.Unimplemented);
  assert.deepEqual(toConnectError(own), { error: own, internal: false });
});

test('an error without our detail gets the nearest code', () => {
  const nearest: Partial<Record<Code, IdentityErrorCode>> = {
    [Code.InvalidArgument]: 'MESSAGE_INVALID',
    [Code.ResourceExhausted]: 'MESSAGE_TOO_LARGE',
    [Code.Unavailable]: 'UNREACHABLE',
    [Code.Aborted]: 'UNREACHABLE',
    [Code.Canceled]: 'UNREACHABLE',
    [Code.DeadlineExceeded]: 'UNREACHABLE',
    [Code.Unimplemented]: 'UNREACHABLE',
  };
  for (const code of Object.values(Code).filter((each) => typeof each === 'number')) {
    const received = fromConnectError(new ConnectError('words', code));
    assert.equal(received.code, nearest[code] ?? 'INTERNAL', Code[code]);
    if (code !== Code.Unimplemented) assert.equal(received.message, 'words');
  }
  assert.equal(fromConnectError(new Error('socket hang up')).code, 'INTERNAL');
  assert.equal(fromConnectError('nonsense').code, 'INTERNAL');
});

test('an unknown code is not accepted from any peer', () => {
  for (const code of ['', 'NEW_IN_VERSION_9', 'constructor', '__proto__', 'toString', 'not_paired']) {
    const wire = new ConnectError('words', Code.NotFound);
    wire.details.push({ desc: ErrorInfoSchema, value: { code } });
    assert.equal(fromConnectError(overTheWire(wire)).code, 'INTERNAL', code);
  }
});

test('an unreadable detail is ignored', () => {
  const wire = new ConnectError('words', Code.Unavailable);
  wire.details.push({ type: ErrorInfoSchema.typeName, value: Uint8Array.of(0x0a, 0xff, 0x01) });
  assert.equal(fromConnectError(wire).code, 'UNREACHABLE');
});

test('our own error is passed on, not wrapped', () => {
  const ours = new IdentityError('NOT_PAIRED', 'No.');
  assert.equal(fromConnectError(ours), ours);
  assert.equal(fromConnectError(new ConnectError('x', Code.Internal, undefined, undefined, ours)), ours);
});

function atobOrNothing(text: string): string {
  try {
    return atob(text);
  } catch {
    return '';
  }
}

test('a call that a closing HTTP/2 connection refused is not reported as a bug', () => {
  const cause = new Error('Stream closed with error code NGHTTP2_REFUSED_STREAM');
  const wire = new ConnectError(cause.message, Code.Internal, undefined, undefined, cause);
  assert.equal(fromConnectError(wire).code, 'UNREACHABLE');
});

test('a text that was cut within a character can still be sent', () => {
  const cut = new IdentityError('CAPABILITY_FAILED', '😀'.slice(0, 1));
  assert.equal(fromConnectError(overTheWire(toConnectError(cut).error)).message, '\uFFFD');
});

test('a request that its sender aborted is not logged', () => {
  for (const code of ['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET']) {
    const { error, internal } = toConnectError(Object.assign(new Error('Premature close'), { code }));
    assert.equal(internal, false);
    assert.equal(error.code, Code.Canceled);
  }
});

test('a wait that ends with its call reports the reason of that end, and is not a bug', async () => {
  const revoked = new IdentityError('DEVICE_REVOKED', 'This device was revoked.');
  const late = new ConnectError('the operation timed out', Code.DeadlineExceeded);
  const brokenOff = (reason?: unknown) =>
    sleep(60_000, undefined, { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error);
  for (const [error, code] of [
    [await brokenOff(revoked), Code.Unauthenticated],
    [await brokenOff(late), Code.DeadlineExceeded],
    [await brokenOff(), Code.Canceled],
    [new DOMException('This operation was aborted', 'AbortError'), Code.Canceled],
  ] as const) {
    const told = toConnectError(error);
    assert.equal(told.internal, false);
    assert.equal(told.error.code, code);
  }
  assert.equal(fromConnectError(toConnectError(await brokenOff(revoked)).error).code, 'DEVICE_REVOKED');
});

test('a text of any length fits, encoded, into the header limit of Java’s gRPC clients', () => {
  for (const text of ['x', ' ', 'ä', '\u2028', '\u{1f600}'].map((each) => each.repeat(100_000)))
    for (const thrown of [new IdentityError('NOTHING_FOUND', text), new ConnectError(text, Code.NotFound)]) {
      const { error, internal } = toConnectError(thrown);
      assert.equal(internal, false);
      const trailers = setTrailerStatus(new Headers(), error);
      const bytes = [...trailers].reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
      assert.ok(bytes < 8192, `${bytes}`);
      assert.ok(error.rawMessage.startsWith(text.slice(0, 400)));
    }
});
