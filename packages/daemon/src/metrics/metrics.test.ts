import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError } from '@palyra/identity';
import type { Pairing, RegistryEvent } from '@palyra/identity/registry';
import { DaemonMetrics, type LiveNumbers } from './metrics.ts';
import { quietDaemon } from './testing/quiet-daemon.ts';

async function has(metrics: DaemonMetrics, ...lines: readonly string[]): Promise<void> {
  const text = await metrics.text();
  for (const line of lines) assert.ok(text.includes(`\n${line}\n`), `${line} is not in\n${text}`);
}

const pairingChanged = (pairing: Partial<Pairing>) =>
  ({ type: 'pairing_changed', pairing: { id: 'P', guessesTaken: 0, ...pairing } }) as RegistryEvent;

test('the ends of the certificates and the build are metrics', async () => {
  await has(
    new DaemonMetrics(quietDaemon),
    'palyra_authority_end_timestamp_seconds{tier="root"} 2000000000',
    'palyra_authority_end_timestamp_seconds{tier="issuing"} 1900000000',
    'palyra_daemon_certificate_end_timestamp_seconds 1800000000',
    `palyra_build_info{version="1.2.3",node="${process.versions.node}"} 1`,
    'palyra_audit_rows 5',
  );
});

test('wrong guesses are counted when their code has ended, and each end once', async () => {
  const metrics = new DaemonMetrics(quietDaemon);
  const happens = (pairing: Partial<Pairing>) => metrics.countRegistry(pairingChanged(pairing));
  // Ended by its guesses.
  happens({ state: 'waiting' });
  for (const guessesTaken of [1, 2, 3]) happens({ state: 'waiting', guessesTaken });
  await has(metrics, 'palyra_pairing_guesses_total 3', 'palyra_pairing_wrong_guesses_total 0');
  happens({ state: 'exhausted', guessesTaken: 3 });
  // Used at the second guess, then decided.
  happens({ id: 'Q' as Pairing['id'], state: 'waiting' });
  for (const guessesTaken of [1, 2]) happens({ id: 'Q' as Pairing['id'], state: 'waiting', guessesTaken });
  const request = {} as Extract<Pairing, { state: 'approved' }>['request'];
  for (const state of ['pending_approval', 'approved', 'issued'] as const)
    happens({ id: 'Q' as Pairing['id'], state, guessesTaken: 2, request });
  await has(
    metrics,
    'palyra_pairing_guesses_total 5',
    'palyra_pairing_wrong_guesses_total 4',
    'palyra_pairing_codes_ended_total{how="used"} 1',
    'palyra_pairing_codes_ended_total{how="exhausted"} 1',
    'palyra_pairing_codes_ended_total{how="expired"} 0',
    'palyra_pairing_codes_ended_total{how="withdrawn"} 0',
  );
});

test('devices are counted again only after a change', async () => {
  let [changes, counts] = [0, 0];
  const fleet: LiveNumbers['fleet'] = {
    ...quietDaemon.fleet,
    changes: () => changes,
    deviceStates: async () => {
      counts += 1;
      return new Map([['quarantined', counts]]);
    },
  };
  const metrics = new DaemonMetrics({ ...quietDaemon, fleet });
  for (let scrape = 0; scrape < 3; scrape += 1)
    await has(metrics, 'palyra_devices{state="quarantined"} 1', 'palyra_devices{state="revoked"} 0');
  changes += 1;
  await has(metrics, 'palyra_devices{state="quarantined"} 2');
});

test('a token that cannot be used is a metric, and without a token there is none', async () => {
  const gone = async () => new IdentityError('SIGNER_UNAVAILABLE', 'The token is away.');
  const authority = { ...quietDaemon.authority, token: 'palyra', keyProblem: gone };
  await has(
    new DaemonMetrics({ ...quietDaemon, authority }),
    'palyra_pkcs11_token_usable{token="palyra"} 0',
    'palyra_ca_key_signs 0',
  );
  assert.doesNotMatch(await new DaemonMetrics(quietDaemon).text(), /pkcs11/);
});

test('what an alert watches is there before the first failure, so that the first one counts', async () => {
  const metrics = new DaemonMetrics(quietDaemon);
  await has(
    metrics,
    'palyra_renewals_total{how="renewal",outcome="refused"} 0',
    'palyra_renewals_total{how="recovery",outcome="refused"} 0',
    'palyra_copies_reported_total{sign="second_agent"} 0',
    'palyra_notices_total{way="webhook",outcome="failed"} 0',
  );
  metrics.notices.count('webhook', false);
  metrics.countRegistry({ type: 'clone_suspected', sign: 'second_agent' } as RegistryEvent);
  await has(
    metrics,
    'palyra_notices_total{way="webhook",outcome="failed"} 1',
    'palyra_copies_reported_total{sign="second_agent"} 1',
  );
});

test('the state of the audit is absent until its first check', async () => {
  assert.doesNotMatch(await new DaemonMetrics(quietDaemon).text(), /\npalyra_audit_(intact|checked\S*) \d/);
  const last = { at: new Date(1_700_000_000_000), isIntact: false };
  const { store } = quietDaemon;
  await has(
    new DaemonMetrics({ ...quietDaemon, store: { ...store, audit: { last } } }),
    'palyra_audit_intact 0',
    'palyra_audit_checked_timestamp_seconds 1700000000',
  );
});
