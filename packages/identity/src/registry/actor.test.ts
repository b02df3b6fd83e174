import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDeviceId } from '../device-id.ts';
import { type Actor, actorName, deviceNamed, parseActorName } from './actor.ts';

const deviceId = parseDeviceId('01KAT0MZP8C4T7T1JQ5Z7K3QX9');
const actors: readonly [Actor, string][] = [
  [{ kind: 'local', at: 'admin socket' }, 'admin socket'],
  [{ kind: 'local', at: 'console' }, 'console'],
  [{ kind: 'local', at: 'program' }, 'program'],
  [{ kind: 'device', deviceId, serial: 'ab'.repeat(16) }, `device:${deviceId}`],
];

for (const [actor, stored] of actors) {
  test(`${stored} is stored, and read back`, () => {
    const name = actorName(actor);
    assert.equal(name, stored);
    assert.equal(parseActorName(stored), name);
    assert.equal(deviceNamed(name), actor.kind === 'device' ? deviceId : undefined);
  });
}

test('text that names no actor is refused', () => {
  for (const text of [
    '',
    'device:',
    deviceId,
    `device:${deviceId.toLowerCase()}`,
    `x:${deviceId}`,
    'Console',
    'root',
  ])
    assert.equal(parseActorName(text), undefined, text);
});
