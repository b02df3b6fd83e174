// `palyra status` and `palyra why`: the state of the daemon, and the reasons for its decisions.

import { serialsIn } from '@palyra/identity/certificate';
import { isErrorCode } from '@palyra/identity/errors';
import {
  advices,
  type Decision,
  daemonParts,
  decisions,
  explainedKinds,
  listenerNames,
} from '@palyra/rpc/admin';
import type { Command } from 'commander';
import { type Admin, withAdmin } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { fleetJson, fleetTable } from '../fleet-view.ts';
import { withExamples } from '../help.ts';
import { adviceStep, nextStep } from '../next-step.ts';
import { resolveId, wholeId } from '../reference.ts';
import { fields } from '../table.ts';
import { formatSpan, formatTime, isoTime, withLocalTimes } from '../time.ts';
import { devicesNamed, eachDeviceId } from './device-lookup.ts';

export function addStatus(program: Command, cli: () => Cli): void {
  withExamples(
    program
      .command('status')
      .description('Show the state of the daemon of this home. Exits with 7 if the daemon is not running.')
      .action(() => status(cli())),
    'palyra status',
    'palyra status --json',
  );
  withExamples(
    program
      .command('why')
      .argument('<id>', 'a device, pairing, certificate serial or certificate fingerprint (SHA-256)')
      .description('Explain what the daemon decides about a device, pairing or certificate, and why.')
      .action((id: string) => why(cli(), id)),
    'palyra why 01KAT0MZP8C4T7T1JQ5Z7K3QX9',
    'palyra why 4f2a90c1d3e5b7896a0b1c2d3e4f5061 --json',
  );
}

async function status(cli: Cli): Promise<void> {
  const reply = await withAdmin(cli, (admin) => admin.getStatus({}));
  const { listeners } = reply;
  cli.output.answer(
    {
      daemon_id: reply.daemonId,
      trust_domain: reply.trustDomain,
      root_fingerprint: reply.rootFingerprint,
      listeners: listeners.map(({ name, address }) => ({ name: listenerNames.show(name), address })),
      version: reply.version,
      home: reply.home,
      started_at: isoTime(reply.startedAtMs),
      daemon_time: isoTime(reply.daemonTimeMs),
      devices: reply.devices,
      connected: reply.connected,
      pending_requests: reply.pendingRequests,
      live_codes: reply.liveCodes,
      ...fleetJson(reply),
      backup: reply.backup ? backupJson(reply.backup) : null,
      problems: reply.problems.map(({ part, code, message }) => ({
        part: daemonParts.show(part),
        code,
        message,
      })),
    },
    () => {
      const about = fields([
        ['running for', formatSpan(Number(reply.daemonTimeMs - reply.startedAtMs))],
        ['daemon', reply.daemonId],
        ['trust domain', reply.trustDomain],
        ['root SHA-256', reply.rootFingerprint],
        ...listeners.map(({ name, address }) => [listenerNames.show(name), address] as const),
        ['home', reply.home],
        ['version', reply.version],
        ['devices', `${reply.devices}, ${reply.connected} connected`],
        ['requests', String(reply.pendingRequests)],
        ['open codes', String(reply.liveCodes)],
        ...(reply.backup ? [['last backup', backupWords(cli, reply.backup)] as const] : []),
      ]);
      const problems = reply.problems.map(({ part, code, message }) => {
        const next = isErrorCode(code) ? nextStep(cli, code) : undefined;
        return `${cli.output.paint('bold', 'PROBLEM')} (${daemonParts.show(part)}): ${message}${next === undefined ? '' : ` ${next}`} [${code}]`;
      });
      const waiting =
        reply.pendingRequests === 0
          ? []
          : [`A device is waiting for your decision: ${followUp(cli, 'pairing list')}`];
      const fleet = reply.daemons.length > 0 ? [fleetTable(cli, reply)] : [];
      return [about, ...fleet, ...problems, ...waiting].join('\n\n');
    },
  );
}

type Backup = NonNullable<Awaited<ReturnType<Admin['getStatus']>>['backup']>;

function backupJson({ folder, lastAtMs, lastBytes, nextAtMs }: Backup) {
  return {
    folder,
    last_at: lastAtMs === undefined ? null : isoTime(lastAtMs),
    last_bytes: lastAtMs === undefined ? null : Number(lastBytes),
    next_at: isoTime(nextAtMs),
  };
}

function backupWords(cli: Cli, { folder, lastAtMs, lastBytes }: Backup): string {
  if (lastAtMs === undefined) return `none yet in ${folder}`;
  const size = `${(Number(lastBytes) / 1024 / 1024).toFixed(1)} MiB`;
  return `${formatTime(Number(lastAtMs), cli.now())}, ${size}, in ${folder}`;
}

type Explanation = Awaited<ReturnType<Admin['explain']>>;

const decisionWords: Readonly<Record<Decision | 'unknown', string>> = {
  allowed: 'ALLOWED',
  refused: 'REFUSED',
  waiting: 'WAITING',
  unknown: 'UNKNOWN',
};

async function why(cli: Cli, reference: string): Promise<void> {
  const reply = await withAdmin(cli, async (admin) =>
    admin.explain({ id: await resolveAny(cli, admin, reference) }),
  );
  const { code, reasons } = reply;
  const next = stepFor(cli, reply);
  const kind = explainedKinds.show(reply.kind);
  const decision = decisions.show(reply.decision);
  cli.output.answer({ kind, decision, code, reasons, next_step: next ?? null }, () =>
    [
      `This ${kind}: ${cli.output.paint('bold', decisionWords[decision])} (${code})`,
      ...reasons.map((reason) => `  ${withLocalTimes(reason, cli.now())}`),
      ...(next === undefined ? [] : ['', next]),
    ].join('\n'),
  );
}

/** The next step, by the code of the refusal and the daemon's advice. */
function stepFor(cli: Cli, { code, deviceId, advice }: Explanation): string | undefined {
  const fields = wholeId.test(deviceId) ? { deviceId } : {};
  const byCode = isErrorCode(code) ? nextStep(cli, code, fields) : undefined;
  const advised = advices.fromWire(advice);
  const byAdvice = advised && adviceStep(cli, advised, fields);
  return [byCode, byAdvice].filter((step) => step !== undefined).join(' ') || undefined;
}

/** Longer than any id. The daemon reads serials and fingerprints in each form that other programs print. */
const longestId = 26;

/** Sends serials and fingerprints unchanged; anything shorter may name a device or a pairing. */
async function resolveAny(cli: Cli, admin: Admin, reference: string): Promise<string> {
  const isFingerprint = /^(?:sha256 fingerprint=)?(?:[0-9a-f]{2}[:\s]?){32}$/i.test(reference);
  if (isFingerprint || (reference.length > longestId && serialsIn(reference).length > 0)) return reference;
  return resolveId(reference, {
    noun: 'device or pairing',
    notFound: 'NOTHING_FOUND',
    list: followUp(cli, 'devices list'),
    named: async (name) => (await devicesNamed(admin, name)).map(({ id }) => id),
    async *ids() {
      yield* eachDeviceId(admin);
      for (const { id } of (await admin.listPairings({ limit: 1000 })).pairings) yield id;
    },
  });
}
