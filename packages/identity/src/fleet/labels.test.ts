import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError } from '../errors.ts';
import { hasLabels, maxLabelLength, maxLabels, parseLabels } from './labels.ts';

test('labels are words, or two words with an equals sign, without duplicates and in order', () => {
  assert.deepEqual(parseLabels(['site=berlin', 'kitchen', 'a.b_c-2', 'kitchen']), [
    'a.b_c-2',
    'kitchen',
    'site=berlin',
  ]);
  assert.deepEqual(parseLabels([]), []);
  assert.deepEqual(parseLabels(['x'.repeat(maxLabelLength)]), ['x'.repeat(maxLabelLength)]);
  const most = Array.from({ length: maxLabels }, (_, place) => `label-${place}`);
  assert.equal(parseLabels([...most, ...most]).length, maxLabels);
});

test('everything else is MESSAGE_INVALID', () => {
  const bad = [
    '',
    ' ',
    'Kitchen',
    'küche',
    'two words',
    'a,b',
    'a"b',
    '=berlin',
    'site=',
    'a=b=c',
    '-a',
    'a-',
    '.a',
    'a%',
    'a\n',
    'a\u202eb',
    'x'.repeat(maxLabelLength + 1),
  ];
  for (const label of bad)
    assert.throws(
      () => parseLabels(['good', label]),
      (error: IdentityError) => error.code === 'MESSAGE_INVALID',
      JSON.stringify(label),
    );
  const many = Array.from({ length: maxLabels + 1 }, (_, place) => `label-${place}`);
  assert.throws(() => parseLabels(many), IdentityError);
});

test('a device matches when it has every required label', () => {
  const device = { labels: ['kitchen', 'site=berlin'] };
  assert.equal(hasLabels(device, []), true);
  assert.equal(hasLabels(device, ['kitchen', 'site=berlin']), true);
  assert.equal(hasLabels(device, ['site']), false);
  assert.equal(hasLabels(device, ['kitchen', 'cellar']), false);
});
