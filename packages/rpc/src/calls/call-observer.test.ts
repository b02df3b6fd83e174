import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, ConnectError, createContextValues, type StreamResponse } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import type { CallCheck } from '../access/access-check.ts';
import { toConnectError } from '../error-map.ts';
import { type ObservedCall, observed } from './call-observer.ts';

const values = createContextValues();

/** A check that lets everything through, and what an observer of its calls is told. */
function watched(check: Partial<CallCheck> = {}) {
  const told: string[] = [];
  const observe = ({ method, kind, header }: ObservedCall) => ({
    end: (outcome: string) => told.push([method, kind, header('traceparent') ?? '', outcome].join(' ')),
  });
  const all: CallCheck = {
    begin: () => undefined,
    unary: async (_method, _values, run) => run(),
    interceptor: (next) => next,
    ...check,
  };
  return { check: observed(all, observe), told };
}

const revoked = () => toConnectError(new IdentityError('DEVICE_REVOKED', 'Revoked.')).error;

test('a unary call is told with its outcome and its header', async () => {
  const { check, told } = watched();
  const header = (name: string) => (name === 'traceparent' ? '00-1' : undefined);
  assert.equal(await check.unary('a.B/C', values, () => 'answer', header), 'answer');
  const failing = (error: Error) => check.unary('a.B/C', values, () => Promise.reject(error));
  await assert.rejects(failing(revoked()));
  await assert.rejects(failing(new ConnectError('late', Code.DeadlineExceeded)));
  await assert.rejects(failing(new Error('a bug')));
  assert.deepEqual(told, [
    'a.B/C unary 00-1 ok',
    'a.B/C unary  DEVICE_REVOKED',
    'a.B/C unary  deadline_exceeded',
    'a.B/C unary  unknown',
  ]);
});

test('a call that is refused before its body is told once, at once or later', async () => {
  const refusing = watched({
    begin: () => {
      throw revoked();
    },
  });
  assert.throws(() => refusing.check.begin('a.B/C', values));
  const later = watched({ begin: () => Promise.reject(revoked()) });
  await assert.rejects(later.check.begin('a.B/C', values)!);
  assert.deepEqual([...refusing.told, ...later.told], Array(2).fill('a.B/C refused  DEVICE_REVOKED'));
});

test('a stream is told at its end: complete, failed, or left by its caller', async () => {
  const { check, told } = watched();
  const stream = async (messages: () => AsyncGenerator<number>) => {
    const request = {
      stream: true,
      service: { typeName: 'a.B' },
      method: { name: 'C' },
      header: new Headers(),
      contextValues: values,
    };
    const answer = await check.interceptor((async () => ({ stream: true, message: messages() })) as never)(
      request as never,
    );
    return (answer as StreamResponse).message as unknown as AsyncIterable<number>;
  };
  const counting = async function* () {
    yield 1;
    yield 2;
  };
  for await (const _ of await stream(counting));
  for await (const _ of await stream(counting)) break;
  const failing = async function* () {
    yield 1;
    throw revoked();
  };
  await assert.rejects(async () => {
    for await (const _ of await stream(failing));
  });
  assert.deepEqual(told, ['a.B/C stream  ok', 'a.B/C stream  canceled', 'a.B/C stream  DEVICE_REVOKED']);
});
