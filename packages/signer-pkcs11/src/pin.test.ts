import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { hasCode } from '@palyra/identity';
import { temporaryFolder } from '../../../tests/testing/temporary-folder.ts';
import { KnownPin, PinMarker, readPin } from './pin.ts';

describe('the PIN file', () => {
  let folder: string;
  let file: string;
  before(async () => {
    folder = temporaryFolder();
    file = join(folder, 'pin');
  });

  for (const [what, text] of Object.entries({
    'one line': '1234',
    'with a line feed': '1234\n',
    'from DOS': '1234\r\n',
  })) {
    it(`${what} is a PIN`, async () => {
      await writeFile(file, text, { mode: 0o600 });
      assert.equal(await readPin(file), '1234');
    });
  }

  for (const [what, bytes] of Object.entries<string | Uint8Array>({
    nothing: '',
    'a line feed alone': '\n',
    'two lines': '1234\n5678\n',
    'a zero byte': '12\u{0}34',
    'bytes that are not text': Uint8Array.of(0x31, 0xff),
    'more than 256 bytes': '1'.repeat(257),
  })) {
    it(`${what} is not a PIN, and is not shown`, async () => {
      await writeFile(file, bytes, { mode: 0o600 });
      await assert.rejects(readPin(file), (error) => {
        assert.ok(hasCode(error, 'SIGNER_PIN_WRONG'));
        return !/1234|1111/.test(error.message);
      });
    });
  }

  it('a missing file, or one that others may read, is refused', async () => {
    await writeFile(file, '1234', { mode: 0o600 });
    await chmod(file, 0o604);
    await assert.rejects(readPin(file), (error) => hasCode(error, 'STORE_PERMISSIONS'));
    await rm(file);
    await assert.rejects(readPin(file), (error) => hasCode(error, 'STORE_FAILED'));
  });

  it('is not sent to the token if the marker cannot be written first', () => {
    const marker = new PinMarker(join(folder, 'not there', 'refused'), file);
    assert.equal(marker.check({ isKnown: false, noneWasWrong: true }), 0);
    let logins = 0;
    const login = () => {
      logins += 1;
    };
    assert.throws(
      () => marker.guard(0, login),
      (error) => hasCode(error, 'STORE_FAILED'),
    );
    assert.equal(logins, 0);
  });

  it('is marked as sent before the token gets it, and unmarked once the token has answered', () => {
    const path = join(folder, 'refused');
    const marker = new PinMarker(path, file);
    marker.guard(0, () => assert.ok(existsSync(path)));
    assert.ok(!existsSync(path));
    const failing = new Error('CKR_DEVICE_ERROR');
    const login = () => {
      throw failing;
    };
    assert.throws(() => marker.guard(0, login), failing);
    assert.ok(!existsSync(path));
  });

  it('an unanswered try may be repeated once, unless the token reports a wrong PIN', async () => {
    const path = join(folder, 'unanswered');
    const marker = new PinMarker(path, file);
    const ask = (isKnown: boolean, noneWasWrong: boolean) => marker.check({ isKnown, noneWasWrong });
    const refused = (error: unknown) => hasCode(error, 'SIGNER_PIN_WRONG') && /run: rm /.test(error.message);
    for (const text of ['', '1']) {
      await writeFile(path, text);
      assert.equal(ask(false, true), 1);
      assert.throws(() => ask(false, false), refused);
    }
    await writeFile(path, '2');
    assert.throws(() => ask(false, true), refused);
    assert.equal(ask(true, false), 0, 'a PIN that was accepted before');
    await writeFile(path, 'refused');
    for (const isKnown of [true, false]) assert.throws(() => ask(isKnown, true), refused);
  });

  it('recognises a PIN that a token accepted, and never prints any part of it', () => {
    const known = KnownPin.of('481632');
    const travelled = new KnownPin(structuredClone({ salt: known.salt, digest: known.digest }));
    assert.ok(travelled.is('481632'));
    assert.ok(!travelled.is('481633'));
    assert.doesNotMatch(JSON.stringify(known), /481632/);
  });
});
