import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Pieces } from './chunk-buffer.ts';
import { UnfinishedBytes } from './unfinished-bytes.ts';

const limits = { unknownBytes: 10, sessionBytes: 30, ownerBytes: 50, totalBytes: 80 };

test('a session may hold little until its owner is known, and is then bound by the limits of session, owner and total', () => {
  const all = new UnfinishedBytes(limits);
  const sessions = Array.from({ length: 4 }, () => all.of({}));
  const calls = sessions.map((session) => session.call());
  assert.equal(calls[0]!.add(11), false);
  assert.equal(calls[0]!.add(10), true);
  sessions[0]!.belongsTo('a');
  assert.equal(calls[0]!.add(21), false);
  assert.equal(calls[0]!.add(20), true);
  sessions[1]!.belongsTo('a');
  assert.equal(calls[1]!.add(21), false, 'the owner already holds 30');
  assert.equal(calls[1]!.add(20), true);
  sessions[2]!.belongsTo('b');
  assert.equal(calls[2]!.add(30), true);
  sessions[3]!.belongsTo('c');
  assert.equal(calls[3]!.add(1), false, 'the total is used up');
  calls[2]!.end();
  assert.equal(calls[3]!.add(1), true);
});

test('a finished message releases its bytes, and only once', () => {
  const all = new UnfinishedBytes(limits);
  const call = all.of({}).call();
  const pieces = new Pieces(call);
  pieces.push(Buffer.alloc(5));
  assert.throws(() => pieces.push(Buffer.alloc(6)), { code: 'TOO_MANY_REQUESTS', retryAfterMs: 1_000 });
  assert.equal(all.bytes, 5);
  call.end();
  call.end();
  pieces.clear();
  assert.equal(all.bytes, 0);
});

test('the total always equals the sum of the calls, in whatever order they end', () => {
  const step = fc.record({
    call: fc.nat(5),
    what: fc.constantFrom('push', 'shift', 'take', 'peek', 'clear', 'end', 'own'),
    size: fc.nat(12),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const all = new UnfinishedBytes(limits);
      const sessions = [all.of({}), all.of({}), all.of({})];
      const calls = Array.from({ length: 6 }, (_, n) => {
        const held = sessions[n % 3]!.call();
        return { held, pieces: new Pieces(held), isOver: false };
      });
      for (const { call, what, size } of steps) {
        const one = calls[call]!;
        if (what === 'own') sessions[call % 3]!.belongsTo(size % 2 ? 'odd' : 'even');
        else if (what === 'end') {
          one.held.end();
          one.isOver = true;
        } else if (what === 'push') {
          if (one.held.fits(size)) one.pieces.push(Buffer.alloc(size));
        } else one.pieces[what]();
        const expected = calls.reduce((sum, { pieces, isOver }) => sum + (isOver ? 0 : pieces.byteLength), 0);
        assert.equal(all.bytes, expected);
        assert.ok(all.bytes <= limits.totalBytes);
      }
      for (const { held } of calls) held.end();
      assert.deepEqual([all.bytes, all.ownedBy('odd'), all.ownedBy('even')], [0, 0, 0]);
    }),
  );
});
