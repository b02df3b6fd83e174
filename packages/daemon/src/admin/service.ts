// palyra.admin.v1: what an operator may call. Decode, one call, encode.

import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import { IdentityError, type IdentityManager, verifyAudit } from '@palyra/identity';
import { identityFingerprint } from '@palyra/identity/device';
import { parseDeviceName, parseDeviceRole } from '@palyra/identity/pairing';
import type { Actor, AuditRow, CertificateRecord, Device, Pairing } from '@palyra/identity/registry';
import {
  type DeviceId,
  nodeCrypto,
  parseDeviceId,
  parseVisibleText,
  reasonOf,
} from '@palyra/identity/values';
import { AdminService, callingDevice } from '@palyra/rpc';
import { actorOf, isRemote, throwIfBrokenOff } from '@palyra/rpc/transport';
import type { DeviceChannels, ExecuteRequest, ExecuteResult } from '../channels/device-channels.ts';
import type { HealthHistory } from '../console/health.ts';
import { maxWaiting, tooSlow, watchAll } from '../console/watch.ts';
import type { Problem } from '../problems.ts';
import { explain } from './explain.ts';

export interface AdminServiceOptions {
  readonly identity: IdentityManager;
  readonly channels: DeviceChannels;
  readonly home: string;
  readonly version: string;
  readonly startedAt: Date;
  /** host:port of the pairing listener as devices reach it. */
  readonly pairingAddress: () => string;
  /** Takes what changed among the authorities to the listeners. */
  readonly authorityChanged: () => Promise<void>;
  readonly listeners: () => readonly { readonly name: string; readonly address: string }[];
  readonly problems: () => Promise<readonly Problem[]>;
  readonly health: HealthHistory;
  /** Makes a login link for the console. Throws where that is not to be had. */
  readonly consoleLogin: () => { readonly url: string; readonly expiresAt: Date };
  /** Ends what would be watched for ever. */
  readonly stopping: AbortSignal;
}

const defaultPage = 100;
const maxPage = 1000;
const maxReasonLength = 200;
const defaultTimeoutMs = 30_000;

export function adminRoutes(options: AdminServiceOptions) {
  const { identity } = options;
  const { registry, desk } = identity;
  const wirePairing = (pairing: Pairing) => toWirePairing(identity, pairing);
  return (router: ConnectRouter): void => {
    router.service(AdminService, {
      getStatus: () => toWireStatus(options),

      async mintCode({ qr, lifeSeconds, autoApprove }, context) {
        const minted = await desk.mint({
          kind: qr ? 'qr' : 'typed',
          address: options.pairingAddress(),
          autoApprove,
          by: actorIn(context),
          ...(lifeSeconds > 0 && { lifeMs: lifeSeconds * 1000 }),
        });
        return {
          pairingId: minted.pairing.id,
          code: minted.code,
          expiresAtMs: millis(minted.expiresAt),
          address: options.pairingAddress(),
        };
      },
      async listPairings({ openOnly, limit }) {
        const page = pageSize(limit);
        const pairings = openOnly ? await desk.open(page) : await registry.pairings({ limit: page });
        return { pairings: await Promise.all(pairings.map(wirePairing)) };
      },
      async getPairing({ id }) {
        const pairing = await registry.pairing(id);
        if (!pairing)
          throw new IdentityError('PAIRING_NOT_FOUND', `There is no pairing ${id}. See: palyra pairing list`);
        return wirePairing(pairing);
      },
      async approvePairing({ id, replaceIdentityKey, name, operator, hostNames, seen }, context) {
        if (operator && isRemote(context)) throw onlyAtTheMachine();
        const choice = {
          replaceIdentityKey,
          operator,
          by: actorIn(context),
          ...(name && { name }),
          ...(hostNames.length > 0 && { hostNames }),
          ...(seen && {
            seen: { words: seen.words, role: seen.role ? parseDeviceRole(seen.role) : undefined },
          }),
        };
        return wirePairing(await desk.approve(id, choice));
      },
      rejectPairing: async ({ id, reason }, context) =>
        wirePairing(await desk.reject(id, parseReason(reason), actorIn(context))),
      watchPairings: (_request, context) =>
        untilStopped(options, context, (signal) => watchPairings(identity, signal)),

      async listDevices({ search, limit, after }) {
        const page = pageSize(limit);
        const devices = await registry.devices({
          limit: page + 1,
          ...(after && { after }),
          ...(search && { search }),
        });
        const shown = devices.slice(0, page);
        return {
          devices: await Promise.all(shown.map((device) => toWireDevice(options, device))),
          nextAfter: devices.length > page ? (shown.at(-1)?.id ?? '') : '',
        };
      },
      async getDevice({ id }) {
        const device = await registry.device(parseDeviceId(id));
        if (!device)
          throw new IdentityError('DEVICE_NOT_FOUND', `There is no device ${id}. See: palyra devices list`);
        const certificates = await registry.certificatesOf(device.id, 50);
        return {
          device: await toWireDevice(options, device),
          certificates: certificates.map(toWireCertificate),
        };
      },
      renameDevice: async ({ id, name }, context) =>
        toWireDevice(options, await identity.renameDevice(id, name, actorIn(context))),
      setDeviceRole: async ({ id, role }, context) =>
        toWireDevice(options, await identity.setDeviceRole(id, parseDeviceRole(role), actorIn(context))),
      setHostNames: async ({ id, hostNames }, context) =>
        toWireDevice(options, await identity.setHostNames(id, hostNames, actorIn(context))),
      revokeDevice: async ({ id, reason }, context) =>
        toWireDevice(options, await identity.revokeDevice(id, parseReason(reason), actorIn(context))),
      async releaseDevice({ id }, context) {
        if (isRemote(context)) await mustNotBeOperator(identity, id);
        return toWireDevice(options, await identity.releaseDevice(id, actorIn(context)));
      },
      revokeCertificate: async ({ serial, reason }, context) =>
        toWireCertificate(await identity.revokeCertificate(serial, parseReason(reason), actorIn(context))),

      async executeCapability({ deviceId, capability, input, timeoutMs }, context) {
        const request = {
          deviceId: parseDeviceId(deviceId),
          capability: parseDeviceName(capability, 'A capability'),
          input: input.length > 0 ? input : new TextEncoder().encode('null'),
          timeoutMs: timeoutMs > 0 ? timeoutMs : defaultTimeoutMs,
          signal: context.signal,
        };
        return executeAudited(options, request, actorOf(context));
      },

      async getAuthority() {
        // First: roots that are newer than their number do no harm, older ones would.
        const { sequence } = await identity.publishedBundle();
        const authorities = await registry.authorities();
        return {
          authorities: authorities.map((each) => ({
            id: each.id,
            tier: each.tier,
            fingerprint: each.fingerprint,
            serial: each.serial,
            notBeforeMs: millis(each.notBefore),
            notAfterMs: millis(each.notAfter),
            active: each.state === 'active',
            state: each.state,
            replacedAtMs: each.tier === 'issuing' && each.state === 'active' ? millis(twoThirds(each)) : 0n,
            certificate: each.der,
            keyName: identity.authorityKeys.nameOf(each.id),
          })),
          keys: identity.authorityKeys.place,
          bundleSequence: BigInt(sequence),
        };
      },

      getRevocationLists: () => revocationListParts(identity),
      async rotateRoot({ step, force }, context) {
        const { rootRotation } = identity;
        const by = actorIn(context);
        if (step === 'prepare') await rootRotation.prepare(by);
        else if (step === 'activate') await rootRotation.activate(force, by);
        else if (step === 'finish') await rootRotation.finish(force, by);
        else if (step === 'rollback') await rootRotation.rollback(by);
        else if (step !== 'status') {
          throw new IdentityError(
            'MESSAGE_INVALID',
            'A step is status, prepare, activate, finish or rollback.',
          );
        }
        if (step !== 'status') await options.authorityChanged();
        const { phase, since, behind } = await rootRotation.status();
        return {
          phase,
          sinceMs: since ? millis(since) : 0n,
          behind: behind.map(({ id, name }) => ({ id, name })),
        };
      },

      async listAudit({ limit, before, subject }) {
        const rows = await registry.audit({
          limit: pageSize(limit),
          ...(before > 0n && { before: Number(before) }),
          ...(subject && { subject }),
        });
        return {
          entries: rows.map(toWireAudit),
        };
      },
      async verifyAudit() {
        const verdict = await verifyAudit(registry);
        const rows = BigInt(verdict.rows);
        return verdict.ok
          ? { ok: true, rows, headHash: verdict.headHash }
          : { ok: false, rows, brokenAt: BigInt(verdict.brokenAt), problem: verdict.problem };
      },

      explain: async ({ id }) => {
        const explanation = await explain(identity, id);
        return { ...explanation, reasons: [...explanation.reasons] };
      },

      watch(_request, context) {
        const sources = {
          identity,
          channels: options.channels,
          pairing: wirePairing,
          async device(id: DeviceId) {
            const device = await registry.device(id);
            return device && toWireDevice(options, device);
          },
          audit: toWireAudit,
          status: () => toWireStatus(options),
        };
        return untilStopped(options, context, (signal) => watchAll(sources, signal));
      },
      async getHealth() {
        const { atMs, series } = await options.health.history();
        return { atMs, series: series.map((each) => ({ ...each, values: [...each.values] })) };
      },
      createConsoleLogin() {
        const { url, expiresAt } = options.consoleLogin();
        return { url, expiresAtMs: millis(expiresAt) };
      },
    });
  };
}

/** A device with its certificate, which may be revoked alone before the change is made. */
function actorIn(context: HandlerContext): Actor {
  return isRemote(context) ? callingDevice(context) : actorOf(context);
}

/** The audit has who ran what on which device and how it ended, never what went in or came out. */
async function executeAudited(
  { identity, channels }: AdminServiceOptions,
  request: ExecuteRequest,
  by: string,
): Promise<ExecuteResult> {
  const { deviceId, capability } = request;
  const record = (outcome: string) =>
    identity.registry.transact((tx) =>
      tx.appendAudit({
        at: identity.clock.now(),
        action: 'capability.executed',
        subject: deviceId,
        detail: { capability, outcome, by },
      }),
    );
  const result = await channels.execute(request).catch(async (error) => {
    const code = error instanceof IdentityError ? error.code : 'INTERNAL';
    if (!neverAsked.has(code)) await record(code);
    throw error;
  });
  // What fails here says nothing about the run.
  await record('OK');
  return result;
}

async function* revocationListParts(identity: IdentityManager) {
  for (const { issuerId, list, error } of await identity.revocationLists.current()) {
    const failure = error === undefined ? '' : reasonOf(error);
    if (!list) yield { issuerId, number: 0n, nextUpdateMs: 0n, der: new Uint8Array(), failure };
    const head = list && {
      issuerId,
      number: BigInt(list.number),
      nextUpdateMs: millis(list.nextUpdate),
      failure,
    };
    for (const der of list?.der ?? []) yield { ...head, der };
  }
}

/** The device heard nothing of these calls. */
const neverAsked: ReadonlySet<string> = new Set(['DEVICE_NOT_CONNECTED', 'DEVICE_BUSY', 'MESSAGE_TOO_LARGE']);

/** Ends with the caller, or with the reason why the daemon stops or the call has no more time. */
async function* untilStopped<T>(
  { stopping }: AdminServiceOptions,
  context: HandlerContext,
  watch: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncIterable<T> {
  const signal = AbortSignal.any([context.signal, stopping]);
  yield* watch(signal);
  throwIfBrokenOff(signal);
}

/** What is open now, then every change. A change in between is told once more rather than not at all. */
async function* watchPairings(identity: IdentityManager, signal: AbortSignal) {
  const changed: Pairing[] = [];
  let wake = () => {};
  const unsubscribe = identity.registry.subscribe((event) => {
    // As in `watchAll`: the one too many is what ends it.
    if (event.type !== 'pairing_changed' || changed.length > maxWaiting) return;
    changed.push(event.pairing);
    wake();
  });
  const abort = () => wake();
  signal.addEventListener('abort', abort);
  try {
    for (const pairing of (await identity.desk.open(maxPage)).reverse())
      yield await toWirePairing(identity, pairing);
    while (!signal.aborted) {
      if (changed.length > maxWaiting) throw tooSlow();
      const next = changed.shift();
      if (next) yield await toWirePairing(identity, next);
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', abort);
  }
}

async function toWireStatus({ identity, ...options }: AdminServiceOptions) {
  const [counts, problems] = await Promise.all([identity.registry.counts(), options.problems()]);
  return {
    daemonId: identity.daemonId,
    trustDomain: identity.trustDomain,
    rootFingerprint: identity.rootFingerprint,
    listeners: [...options.listeners()],
    startedAtMs: millis(options.startedAt),
    daemonTimeMs: millis(identity.clock.now()),
    devices: counts.devices,
    connected: options.channels.connected,
    pendingRequests: counts.pendingRequests,
    liveCodes: counts.waitingCodes,
    version: options.version,
    home: options.home,
    problems: problems.map(({ part, error: { code, message } }) => ({ part, code, message })),
  };
}

function toWireAudit(row: AuditRow) {
  return {
    seq: BigInt(row.seq),
    atMs: BigInt(row.atMs),
    action: row.action,
    subject: row.subject,
    detailJson: row.detailJson,
    hash: row.hash,
  };
}

async function toWirePairing({ registry }: IdentityManager, pairing: Pairing) {
  const request = 'request' in pairing ? pairing.request : undefined;
  return {
    id: pairing.id,
    state: pairing.state,
    slot: pairing.codeKind === 'typed' ? pairing.slot : '',
    createdAtMs: millis(pairing.createdAt),
    expiresAtMs: 'expiresAt' in pairing ? millis(pairing.expiresAt) : 0n,
    guessesLeft: pairing.guessesLeft,
    failedGuesses: request?.failedGuesses ?? pairing.guessesTaken,
    reason: pairing.state === 'rejected' ? pairing.reason : '',
    serial: 'serial' in pairing ? pairing.serial : '',
    autoApprove: pairing.autoApprovedBy !== undefined,
    ...(request && {
      device: {
        deviceId: request.deviceId,
        name: request.name,
        kind: request.kind,
        platform: request.platform,
        identityFingerprint: await identityFingerprint(nodeCrypto, request.identityKey),
        words: request.words,
        source: request.source,
        continuity: request.continuity,
        role: (await registry.device(request.deviceId))?.role ?? '',
      },
    }),
  };
}

async function toWireDevice({ identity, channels }: AdminServiceOptions, device: Device) {
  const certificates = await identity.registry.livingCertificates(device.id);
  const connection = channels.connectionOf(device.id);
  const live = certificates.find((each) => each.state === 'active') ?? certificates[0];
  return {
    id: device.id,
    name: device.name,
    kind: device.kind,
    platform: device.platform,
    role: device.role,
    identityFingerprint: await identityFingerprint(nodeCrypto, device.identityKey),
    state: device.state,
    createdAtMs: millis(device.createdAt),
    lastSeenMs: device.lastSeenAt ? millis(device.lastSeenAt) : 0n,
    capabilities: [...device.capabilities],
    hostNames: [...device.hostNames],
    revocationReason: device.revocationReason ?? '',
    cloneSeenMs: device.cloneSeenAt ? millis(device.cloneSeenAt) : 0n,
    recoveryAskedMs: device.recoveryAskedAt ? millis(device.recoveryAskedAt) : 0n,
    certificateNotAfterMs: live ? millis(live.notAfter) : 0n,
    certificateNotBeforeMs: live ? millis(live.notBefore) : 0n,
    transport: connection?.transport ?? '',
    quicProblem: connection?.quicProblem ?? '',
  };
}

function toWireCertificate(certificate: CertificateRecord) {
  return {
    serial: certificate.serial,
    fingerprint: certificate.fingerprint,
    deviceId: certificate.subject.id,
    state: certificate.state,
    notBeforeMs: millis(certificate.notBefore),
    notAfterMs: millis(certificate.notAfter),
  };
}

/** Who took an operator's device over could make operators that outlive its revocation. */
function onlyAtTheMachine(): IdentityError {
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    "The operator role is given on the daemon's own machine only. Approve it without, then there: palyra devices set-role DEVICE operator",
  );
}

/** Who has a copy of an operator's device must not be the one to say that there is none. */
async function mustNotBeOperator({ registry }: IdentityManager, id: string): Promise<void> {
  const device = await registry.device(parseDeviceId(id));
  if (device?.role !== 'operator') return;
  throw new IdentityError(
    'CALLER_NOT_ALLOWED',
    `${device.name} is an operator, and is released on the daemon's own machine only: palyra devices release ${device.id}`,
  );
}

/** The operator's words; shown to people later. */
function parseReason(reason: string): string {
  return parseVisibleText('A reason', reason, maxReasonLength);
}

/** When it is replaced: at 2/3 of its life. */
function twoThirds({ notBefore, notAfter }: { readonly notBefore: Date; readonly notAfter: Date }): Date {
  return new Date(notBefore.getTime() + ((notAfter.getTime() - notBefore.getTime()) * 2) / 3);
}

const pageSize = (limit: number): number => Math.min(limit > 0 ? limit : defaultPage, maxPage);
const millis = (date: Date): bigint => BigInt(date.getTime());
