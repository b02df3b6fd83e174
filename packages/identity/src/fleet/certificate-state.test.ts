import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CertificateEvent, type CertificateState, stepCertificate } from './certificate-state.ts';

/** The diagram at the top of certificate-state.ts, as data. */
const drawn: Readonly<Record<CertificateState, Partial<Record<CertificateEvent['type'], CertificateState>>>> =
  {
    issued: { use: 'active', supersede: 'superseded', revoke: 'revoked', end: 'revoked' },
    active: { supersede: 'superseded', revoke: 'revoked', end: 'revoked' },
    superseded: { revoke: 'revoked', end: 'revoked' },
    revoked: {},
  };
const states = Object.keys(drawn) as CertificateState[];
const events = ['use', 'supersede', 'revoke', 'end'] as const;

test('every event in every state does exactly what the diagram shows', () => {
  for (const state of states)
    for (const event of events)
      assert.equal(stepCertificate(state, event), drawn[state][event], `${state} takes ${event}`);
});

test('a certificate never returns to a state that it has left', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...events)), (walk) => {
      let state: CertificateState = 'issued';
      for (const event of walk) {
        const next = stepCertificate(state, event);
        if (next === undefined) continue;
        assert.ok(states.indexOf(next) > states.indexOf(state), `${state} to ${next}`);
        state = next;
      }
    }),
  );
});
