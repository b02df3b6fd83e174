import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeUlid } from '../device-id.ts';
import { KnownStandings } from './known-standings.ts';
import type { CertificateStanding } from './port.ts';

const good: CertificateStanding = {
  serial: '01',
  subjectKind: 'device',
  subjectId: makeUlid(new Date(), new Uint8Array(10)),
  certificateState: 'active',
  notBeforeMs: 0,
  notAfterMs: 1,
  deviceState: 'active',
  deviceRole: 'device',
  deviceName: 'sensor',
  renewAtMs: undefined,
  issuerId: makeUlid(new Date(), new Uint8Array(10)),
  issuerState: 'active',
};
const revoked: CertificateStanding = { ...good, deviceState: 'revoked' };

/** A registry of one certificate. It counts its reads, and the test can delay them. */
class SlowRegistry {
  changes = 0;
  reads = 0;
  held: Promise<void> | undefined;
  #standing: CertificateStanding | undefined = good;

  async standing(fingerprint: string): Promise<CertificateStanding | undefined> {
    this.reads += 1;
    const found = fingerprint.startsWith('known') ? this.#standing : undefined;
    await this.held;
    return found;
  }

  commit(standing: CertificateStanding): void {
    this.#standing = standing;
    this.changes += 1;
  }
}

const ask = async (standings: KnownStandings, fingerprint: string) =>
  standings.known(fingerprint) ?? (await standings.read(fingerprint));

describe('known standings', () => {
  it('are read once while nothing changes, and again after every commit', async () => {
    const registry = new SlowRegistry();
    const known = new KnownStandings(registry);
    for (const _ of [1, 2, 3]) assert.equal(await ask(known, 'known'), good);
    assert.equal(registry.reads, 1);
    registry.commit(good);
    assert.equal(await ask(known, 'known'), good);
    assert.equal(registry.reads, 2);
  });

  it('never outlive a commit, even one during the read', async () => {
    const registry = new SlowRegistry();
    const known = new KnownStandings(registry);
    const readEnds = Promise.withResolvers<void>();
    registry.held = readEnds.promise;
    const asked = ask(known, 'known');
    registry.commit(revoked);
    registry.held = undefined;
    assert.equal(await ask(known, 'known'), revoked);
    readEnds.resolve();
    assert.equal(await asked, good, 'it was asked before');
    assert.equal(await ask(known, 'known'), revoked);
  });

  it('are forgotten when they become too many', async () => {
    const registry = new SlowRegistry();
    const standings = new KnownStandings(registry);
    await ask(standings, 'known');
    for (let count = 1; count < 16_384; count += 1) await ask(standings, `known ${count}`);
    assert.equal(standings.known('known'), good);
    await ask(standings, 'known too many');
    assert.equal(standings.known('known'), undefined);
    assert.equal(standings.known('known too many'), good);
  });

  it('do not include unknown certificates, because anybody can present those', async () => {
    const registry = new SlowRegistry();
    const known = new KnownStandings(registry);
    for (const reads of [1, 2]) {
      assert.equal(await ask(known, 'foreign'), undefined);
      assert.equal(registry.reads, reads);
    }
  });
});
