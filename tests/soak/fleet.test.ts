// Three daemons on one PostgreSQL, while daemons, the database, and the network between them are killed, paused and cut at
// random moments: what was acknowledged is not lost, and what was refused is not accepted.

import assert from 'node:assert/strict';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { Member, mishap } from '../testing/fleet-soak/members.ts';
import { FleetModel } from '../testing/fleet-soak/model.ts';
import { soakTest } from '../testing/soak.ts';

const daemons = 3;
/** What happens at the same time as a mishap. */
const actsAtOnce = 6;
const roundsBetweenChecks = 10;

const fleet = missingPostgres ? undefined : new FleetForTests();

soakTest(
  'a fleet loses nothing that it acknowledged and accepts nothing that it refused, whatever is killed, paused or cut',
  { rounds: 500, tested: 20, skip: missingPostgres },
  async (t, { count, random }) => {
    assert.ok(fleet);
    const { server } = fleet;
    const settings = await fleet.settings();
    const members: Member[] = [];
    for (let number = 0; number < daemons; number += 1) members.push(await Member.start(t, settings));
    const model = new FleetModel(members, random.fork());
    const mishaps = random.fork();
    const happened = new Map<string, number>();
    for (let round = 1; round <= count; round += 1) {
      const acts = Array.from({ length: actsAtOnce }, () => model.act());
      // A mishap is over before the next one, also when an act fails.
      const mishappened = mishap(members, server, mishaps);
      await Promise.allSettled([mishappened, ...acts]);
      await Promise.all(acts);
      const what = await mishappened;
      happened.set(what, (happened.get(what) ?? 0) + 1);
      if (round % roundsBetweenChecks === 0 || round === count) await model.settle();
    }
    t.diagnostic(JSON.stringify(Object.fromEntries([...happened, ...model.counts])));
    const issuing = await server.sql(
      settings.url,
      `select state, count(*)::int from authorities where tier = 'issuing' group by state`,
    );
    assert.deepEqual(issuing, [{ state: 'active', count: 1 }]);
    const [gaps] = await server.sql(
      settings.url,
      'select count(*)::int - max(seq)::int as audit, (select count(*)::int - max(seq)::int from events) as events from audit',
    );
    assert.deepEqual(gaps, { audit: 0, events: 0 });
    for (const member of members) await member.daemon.stop();
  },
);
