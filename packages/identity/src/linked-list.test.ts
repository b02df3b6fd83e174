import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';
import fc from 'fast-check';
import { type Link, LinkedList } from './linked-list.ts';

test('a list has its members in the order in which they came, whichever left', () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant('add' as const) }),
    fc.record({ what: fc.constant('remove' as const), which: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const list = new LinkedList<number>();
      const links: Link<number>[] = [];
      const there = new Set<number>();
      for (const each of steps) {
        if (each.what === 'add') {
          there.add(links.length);
          links.push(list.add(links.length));
        } else {
          list.remove(links[each.which]);
          there.delete(each.which);
        }
        assert.deepEqual([...list], [...there]);
        assert.equal(list.size, there.size);
        assert.equal(list.first, [...there][0]);
      }
    }),
  );
});

test('members may leave and come while a list is read', () => {
  const list = new LinkedList<string>();
  const links = ['a', 'b', 'c', 'd'].map((each) => list.add(each));
  const seen: string[] = [];
  for (const each of list) {
    seen.push(each);
    if (each !== 'a') continue;
    list.remove(links[0]);
    list.remove(links[1]);
    list.add('e');
  }
  assert.deepEqual(seen, ['a', 'c', 'd']);
  assert.deepEqual([...list], ['c', 'd', 'e']);
});

/** Bytes of members that have left and that collections of the young generation still keep. */
const kept = `
const members = await import(process.argv[1]).then(({ LinkedList }) => process.argv[2] === 'Set' ? new Set() : new LinkedList());
const grow = () => Array.from({ length: 1000 }, () => ({}));
const turn = process.argv[2] === 'Set'
  ? (member, before) => { members.add(member); members.delete(before); return member; }
  : (member, before) => { const link = members.add(member); members.remove(before); return link; };
// Until the collection and its insides are old.
let before = turn(grow());
globalThis.gc();
globalThis.gc();
const begin = process.memoryUsage().heapUsed;
for (let round = 0; round < 200; round += 1) {
  before = turn(grow(), before);
  globalThis.gc({ type: 'minor' });
}
console.log(process.memoryUsage().heapUsed - begin);
`;

const keptBy = (what: 'Set' | 'LinkedList'): number => {
  const file = new URL('./linked-list.ts', import.meta.url).href;
  const options = ['--expose-gc', '--input-type=module', '-e', kept, file, what];
  return Number(spawnSync(process.execPath, options, { encoding: 'utf8' }).stdout);
};

test('small collections of garbage free the members that have left, which they do not in a Set', () => {
  const one = 16_000;
  assert.ok(keptBy('Set') > 40 * one, 'V8 has changed, and the list may no longer be needed');
  assert.ok(keptBy('LinkedList') < 10 * one);
});
