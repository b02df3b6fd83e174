// Tests for every registry, whatever database it uses. A new implementation must pass this suite.

import { auditChainTests } from './registry-suite/audit-chain.ts';
import { authoritiesTests } from './registry-suite/authorities.ts';
import { certificatesTests } from './registry-suite/certificates.ts';
import { devicesTests } from './registry-suite/devices.ts';
import { eventsTests } from './registry-suite/events.ts';
import { pairingsTests } from './registry-suite/pairings.ts';
import { revocationsTests } from './registry-suite/revocations.ts';
import { standingTests } from './registry-suite/standing.ts';
import { type Open, suiteTest } from './registry-suite/suite-test.ts';
import { transactionsTests } from './registry-suite/transactions.ts';
import { wholeTests } from './registry-suite/whole.ts';

/** @param open creates an empty registry. The suite closes it. */
export function registrySuite(name: string, open: Open): void {
  const it = suiteTest(open);
  wholeTests(name, it);
  devicesTests(name, it);
  certificatesTests(name, it);
  standingTests(name, it);
  authoritiesTests(name, it);
  revocationsTests(name, it);
  pairingsTests(name, it);
  auditChainTests(name, it);
  transactionsTests(name, it);
  eventsTests(name, it);
}
