import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { IdentityError } from './errors.ts';
import { reasonOf } from './reason.ts';

async function caught(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return assert.fail('the action did not fail');
}

test('errors of the system, JSON and SQLite are described in our words, with their code', async () => {
  const refused = () =>
    new Promise((_, reject) => net.connect({ host: 'localhost', port: 1 }).once('error', reject));
  const noDatabase = () => new DatabaseSync(import.meta.filename).exec('SELECT * FROM sqlite_schema');
  for (const [work, reason] of [
    [() => readFile('/nowhere/\u001b[2J'), 'there is no such file or folder (ENOENT)'],
    [() => readFile('/'), 'it is a folder (EISDIR)'],
    // After two tried addresses, Node's error has no message.
    [refused, 'nothing listens there (ECONNREFUSED)'],
    [noDatabase, 'it is not a database (SQLite 26)'],
    [() => JSON.parse('{\n "a": 1,}'), 'it is not JSON: look at line 2, column 9'],
    [() => JSON.parse('{"a": \u001b[2J}'), 'it is not JSON'],
    [() => JSON.parse(''), 'it is not JSON'],
    [() => Buffer.alloc(-1), 'it failed (ERR_OUT_OF_RANGE)'],
  ] as const)
    assert.equal(reasonOf(await caught(work)), reason);
});

test('our own messages stay unchanged', () => {
  assert.equal(reasonOf(new IdentityError('STORE_FAILED', 'The disk is gone.')), 'The disk is gone.');
  assert.equal(reasonOf(new Error('it ended with exit code 3')), 'it ended with exit code 3');
  assert.equal(reasonOf('no error'), 'no error');
});
