// revocation_list.*: the cost of a revocation list of a large fleet, and its effect on other work.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Figures, median, type Progress, quantile, quartiles } from './measure.ts';
import type { ListMade } from './revocation-list-maker.ts';
import { answerOf } from './server-process.ts';
import { TemporaryFolder } from './temporary-folder.ts';

const few = 10_000;
const many = 1_000_000;
const rounds = 3;
const readers = 8;

export async function revocationList(progress: Progress): Promise<Figures> {
  using folder = await TemporaryFolder.make();
  const homes = { few: join(folder.path, 'few'), many: join(folder.path, 'many') };
  progress('registries of 10,000 and of 1,000,000 revoked certificates are made (a minute)');
  await seed(homes.few, few);
  await seed(homes.many, many);
  progress('their lists are made and served');
  const made = { few: [] as ListMade[], many: [] as ListMade[] };
  for (let round = 0; round < rounds; round += 1) {
    made.few.push(await make(homes.few));
    made.many.push(await make(homes.many));
  }
  const perEntry = (each: ListMade, count: number) => (each.makeCpuMs * 1000) / count;
  const growth = made.many.map((each, at) => perEntry(each, many) / perEntry(made.few[at]!, few));
  const all = (name: keyof ListMade, of: keyof typeof made = 'many') => made[of].map((each) => each[name]);
  const turns = made.many.map(({ makeTurnMs, handOutTurnMs }) => Math.max(makeTurnMs, handOutTurnMs));
  const memory = made.many.map(({ makeMib, handOutMib }) => makeMib + handOutMib);
  return {
    'revocation_list.growth_10k_to_1m': {
      value: median(growth),
      spread: quartiles(growth),
      target: { atMost: 1.3 },
      unit: 'ratio',
      meaning:
        'The processor time for an entry of a list of 1,000,000 over that for one of 10,000; each in a process of its own ' +
        'that checks calls meanwhile.',
      parts: {
        us_per_entry_10k: median(made.few.map((each) => perEntry(each, few))),
        us_per_entry_1m: median(made.many.map((each) => perEntry(each, many))),
        make_ms_1m: median(all('makeMs')),
        checks_meanwhile: median(all('checks')),
      },
    },
    'revocation_list.longest_turn_ms_1m': {
      value: median(turns),
      spread: quartiles(turns),
      target: { atMost: 10 },
      unit: 'ms',
      meaning:
        'The longest turn of the event loop, in processor time, while the list was made and then read by 8 at one time: ' +
        'the median of 3 processes. waited: by the clock, with all that the machine did besides.',
      whenMissed: 'the garbage collector, or pages of the registry that come from the disk.',
      parts: {
        make: median(all('makeTurnMs')),
        hand_out: median(all('handOutTurnMs')),
        highest: quantile(turns, 1),
        waited_make: median(all('makeStallMs')),
        waited_hand_out: median(all('handOutStallMs')),
      },
    },
    'revocation_list.memory_mib_1m': {
      value: median(memory),
      spread: quartiles(memory),
      target: { atMost: 300 },
      unit: 'MiB',
      meaning:
        "Resident memory for that, at its highest; the registry's cache of what it has read, up to 256 MiB, included.",
      parts: {
        list: median(all('listMib')),
        make: median(all('makeMib')),
        hand_out_to_8: median(all('handOutMib')),
      },
    },
  };
}

async function seed(home: string, count: number): Promise<void> {
  const child = fork(new URL('./revocation-list-maker.ts', import.meta.url), ['seed', home, String(count)]);
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${count} revoked certificates could not be made: exit code ${code}`);
}

async function make(home: string): Promise<ListMade> {
  const child = fork(new URL('./revocation-list-maker.ts', import.meta.url), ['make', home]);
  const ended = once(child, 'exit');
  const { port } = await answerOf<{ port: number }>(child);
  await Promise.all(Array.from({ length: readers }, () => drain(`http://127.0.0.1:${port}/crl.pem`)));
  const made = answerOf<ListMade>(child);
  child.send('read');
  const answer = await made;
  await ended;
  return answer;
}

async function drain(url: string): Promise<void> {
  const { body } = await fetch(url);
  for await (const piece of body ?? []) void piece;
}
