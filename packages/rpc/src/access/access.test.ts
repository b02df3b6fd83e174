import assert from 'node:assert/strict';
import test from 'node:test';
import { access, type Caller } from './access.ts';

test('an embedding program cannot give itself rights by a cast', () => {
  const writable = access as Record<string, Caller>;
  assert.throws(() => {
    writable['palyra.admin.v1.AdminService/SetDeviceRole'] = 'anyone';
  }, TypeError);
  assert.throws(() => {
    writable['palyra.admin.v1.AdminService/NewCall'] = 'anyone';
  }, TypeError);
  assert.throws(() => delete writable['palyra.node.v1.NodeService/Renew'], TypeError);
  assert.equal(access['palyra.admin.v1.AdminService/SetDeviceRole'], 'local operator');
});
