// The daemon, wired: home, stores, identity, listeners. What listens first is what must be there first.

import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import type { ConnectRouter } from '@connectrpc/connect';
import { hasCode, IdentityError, IdentityManager, type ServerCredential } from '@palyra/identity';
import { isDnsName } from '@palyra/identity/certificate';
import type { RegistryEvent } from '@palyra/identity/registry';
import {
  defaultPairingLimits,
  formatEndpoint,
  MAX_PAIRING_MESSAGE_BYTES,
  type PairingLimits,
  parseEndpoint,
  type RunningClock,
  systemClock,
} from '@palyra/identity/values';
import type { OwnService } from '@palyra/rpc';
import {
  type DeviceAuthenticator,
  defaultHttp2Limits,
  Http2Listener,
  healthRoutes,
  ownServices,
  reflectionRoutes,
  UnfinishedBytes,
} from '@palyra/rpc/transport';
import { QuicDeviceListener, type QuicDeviceListenerOptions, quicTraffic } from '@palyra/transport-quic';
import packageJson from '../package.json' with { type: 'json' };
import { listenAdmin } from './admin/listener.ts';
import { adminRoutes } from './admin/service.ts';
import { DeviceChannels } from './channels/device-channels.ts';
import { type DaemonConfig, type DaemonConfigInput, parseConfig, readConfig } from './config.ts';
import { type Console, refuseLogin, refuseWithoutConsole, startConsole } from './console/console.ts';
import { HealthHistory } from './console/health.ts';
import { removeLeftCopies } from './home/backup-copy.ts';
import { openCaKeys } from './home/ca-key.ts';
import { withFileErrors } from './home/file-error.ts';
import { findDaemon, rememberConfig, takeHome } from './home/home.ts';
import { together, unusableSettings } from './home/obstacles.ts';
import { openHome } from './home/open-home.ts';
import { LanAnnouncer } from './lan/announce.ts';
import { nodeRoutes } from './listeners/node-service.ts';
import { OpenLimit } from './listeners/open-limit.ts';
import { pairingRoutes } from './listeners/pairing-service.ts';
import { listenAt, onThisMachine, type Place, quicPlace, unusablePlaces } from './listeners/places.ts';
import { listenPublish } from './listeners/publish-listener.ts';

import { DaemonMetrics, listenMetrics } from './metrics.ts';
import { Notice } from './notices/notice.ts';
import { KeyWatch, withoutQuic } from './problems.ts';
import { shownAddress } from './shown-address.ts';

export interface StartOptions {
  /** The home; the daemon keeps its own in `<home>/daemon`. */
  readonly home: string;
  /** Default: what the file says, or the defaults when there is none. */
  readonly config?: DaemonConfigInput;
  /** Default: that of the last start; of the first, `<home>/daemon/config.json`. */
  readonly configFile?: string;
  /**
   * Services of the program's own, for paired devices on the node listener and over QUIC. A handler asks `callingDevice` who
   * calls.
   */
  readonly services?: readonly OwnService[];
  /** Default: the system's. */
  readonly clock?: RunningClock;
  /** Told what changes in the registry, after it is durable. */
  readonly onEvent?: (event: RegistryEvent) => void;
  /** Told of errors that are bugs or failing disks, for the log. Never holds a secret. */
  readonly onError?: (error: unknown, where: string) => void;
}

export interface RunningDaemon {
  readonly identity: IdentityManager;
  readonly daemonId: string;
  readonly trustDomain: string;
  readonly rootFingerprint: string;
  readonly listeners: readonly { readonly name: string; readonly address: string }[];
  /** What the operator should know about this start, though all is well. */
  readonly notes: readonly string[];
  /** host:port for devices: as the configuration says, or else an address that this machine has now. */
  readonly pairingAddress: string;
  /** Does what is due by the clock: expiries, new certificates. Runs by itself every 15 seconds. */
  tick(): Promise<void>;
  /**
   * Stops listening, tells connected devices, lets running calls end for `limits.stopGraceMs`, frees the home.
   * @param cut ends what still runs, at once.
   */
  close(cut?: AbortSignal): Promise<void>;
}

const tickMs = 15_000;
/** How long calls that are lost when the daemon stops may take to say so, ms. */
const lastWordMs = 200;
/** For what is closed when a start has failed, or has been closed before. */
const atOnce = AbortSignal.abort();

/**
 * Starts a daemon on a home, making everything at the first start. One that fails leaves nothing behind, but for what a token
 * may have made meanwhile.
 * @throws UNREACHABLE for addresses that it cannot listen on, HOME_IN_USE, STORE_PERMISSIONS, MASTER_KEY_WRONG, MESSAGE_INVALID for the configuration, SERVICE_INVALID, and what the stores say.
 */
export async function startDaemon(options: StartOptions): Promise<RunningDaemon> {
  const attempt: Attempt = { cleanup: [], obstacles: async () => [], mustKeep: false };
  try {
    const running = await start(options, attempt);
    attempt.mustKeep = true;
    return running;
  } catch (error) {
    // Why it did not start is what the caller is to know; what besides could not be undone is reported.
    await unwind(attempt.cleanup).catch((failure) =>
      options.onError?.(failure, 'undoing a start that failed'),
    );
    if (!(error instanceof IdentityError)) throw error;
    // It met one obstacle; the operator is told of the others as well.
    const others = (await attempt.obstacles()).filter(({ message }) => message !== error.message);
    throw together([error, ...others]);
  }
}

/** How far a start has come. */
interface Attempt {
  readonly cleanup: (() => void | Promise<void>)[];
  /** What else stands in the way, once it is known what is wanted. */
  obstacles: () => Promise<IdentityError[]>;
  /** What was made is not removed, should the start fail. */
  mustKeep: boolean;
}

async function start(options: StartOptions, attempt: Attempt): Promise<RunningDaemon> {
  const { cleanup } = attempt;
  const own = ownServices(options.services ?? []);
  const onError = options.onError ?? (() => {});
  const clock = options.clock ?? systemClock;
  const startedAt = clock.now();
  const taken = await takeHome(options.home);
  cleanup.push(() => (attempt.mustKeep ? taken.release() : taken.abandon()));
  const home = options.config ? taken : { ...taken, ...(await findDaemon(options.home, options.configFile)) };
  const wanted = options.config
    ? parseConfig(options.config, 'The configuration')
    : await readConfig(home.config, { mustExist: home.isConfigNamed });
  const config = await onThisMachine(wanted);
  const notes = isDeepStrictEqual(config, wanted) ? [] : [withoutIpv6];
  const obstacles = async () => [
    ...(await unusableSettings(config, home)),
    ...(await unusablePlaces(config)),
  ];
  // Before a trust domain is fixed and a key is made.
  const [first, ...others] = home.isNew ? await obstacles() : [];
  if (first) throw together([first, ...others]);
  attempt.obstacles = obstacles;
  await removeLeftCopies(home);
  const { secrets, registry } = await openHome(home, config, onError);
  cleanup.push(() => secrets.close());
  cleanup.push(() => registry.close());
  const authorityKeys = await openCaKeys(config, home, secrets, registry);
  /** Resolves when nothing that still runs is waited for any more. */
  const over = Promise.withResolvers<void>();
  cleanup.push(() => Promise.race([authorityKeys.close(), over.promise]));
  // The registry knows which key of the token is to be taken up by the next try.
  attempt.mustKeep ||= config.caKey !== undefined;
  const identity = await IdentityManager.open({
    secrets,
    authorityKeys,
    registry,
    clock,
    limits: pairingLimits(config),
    cloning: config.cloning,
    ...(config.trustDomain !== undefined && { trustDomain: config.trustDomain }),
  });
  await identity.tick();

  const names = { dnsNames: dnsNames(config), ipAddresses: ['127.0.0.1', '::1', ...config.names.ip] };
  let credential = await identity.issueServerCredential(names);
  let isHalfPresented = false;
  let presenting = Promise.resolve();
  let ticking: Promise<unknown> = Promise.resolve();
  const channels = new DeviceChannels(clock);
  const stopping = new AbortController();
  const keyWatch = new KeyWatch(
    () => identity.checkKey(),
    (problem) => onError(problem, "the CA's key"),
  );
  const metrics = new DaemonMetrics(identity, {
    keyProblem: () => keyWatch.problem(),
    connections: () => ({
      node: node.connections,
      quic: quic?.connections ?? 0,
      pairing: pairing.connections,
    }),
    rateLimited: () => openLimit.refused,
    quicTraffic,
  });
  let console: Console | undefined;
  const health = new HealthHistory(
    metrics,
    () => ({ palyra_console_failed_logins: console?.failedLogins() ?? 0 }),
    (error) => onError(error, 'the health samples'),
  );
  cleanup.push(() => health.close());
  const adminOptions = {
    authorityChanged: async () => {
      await identity.reloadAuthority();
      await presentNewCredential();
    },
    identity,
    channels,
    home: options.home,
    version: packageJson.version,
    startedAt,
    pairingAddress: () => pairingAddress(),
    listeners: () => listeners,
    problems: async () => {
      const keyProblem = await keyWatch.problem();
      const issuerProblem = identity.issuerProblem();
      return [
        ...(keyProblem ? [{ part: 'ca key' as const, error: keyProblem }] : []),
        ...(issuerProblem ? [{ part: 'issuing ca' as const, error: issuerProblem }] : []),
        ...(quicProblem ? [{ part: 'quic' as const, error: quicProblem }] : []),
      ];
    },
    health,
    stopping: stopping.signal,
  };
  // Who comes before everything stands waits for it: nobody is let in whose revocation would not be felt.
  const started = Promise.withResolvers<void>();
  // Those who wait are told; there may be none.
  started.promise.catch(() => {});
  const authenticator: DeviceAuthenticator = {
    admit: (...asked) => started.promise.then(() => identity.admit(...asked)),
    authenticate: (...asked) => identity.authenticate(...asked),
    get revocationEpoch() {
      return identity.revocationEpoch;
    },
    get chainJudge() {
      return identity.chainJudge;
    },
  };
  const deviceRoutes = (router: ConnectRouter) => {
    nodeRoutes(identity, channels, config.endpoints)(router);
    adminRoutes({ ...adminOptions, consoleLogin: refuseLogin })(router);
    healthRoutes(stopping.signal)(router);
    reflectionRoutes(router);
    own.routes(router);
  };
  const ownCalls = { access: own.access, stopping: stopping.signal };
  const unfinished = new UnfinishedBytes();
  const node = await listen(
    { name: 'node', ...config.node },
    {
      unfinished,
      credential,
      devices: { trustBundle: identity.trustBundle, authenticator },
      routes: deviceRoutes,
      ownCalls,
      limits: { connections: config.limits.nodeConnections, ...strangerLimits(config) },
      onInternal: onError,
      onEvent: (event) => metrics.countListener('node', event),
      clock,
    },
  );
  cleanup.push(() => node.close(atOnce));
  cleanup.push(() => channels.close());
  cleanup.push(() => started.reject(new IdentityError('UNREACHABLE', 'The daemon stops.')));
  const startedQuic = config.quic.enabled
    ? await startQuic(config, {
        credential,
        devices: { trustBundle: identity.trustBundle, authenticator },
        routes: deviceRoutes,
        ownCalls,
        clock,
        messageBytes: defaultHttp2Limits.messageBytes,
        unfinished,
        limits: {
          maxConnections: config.limits.quicConnections,
          handshakeTimeoutMs: config.limits.handshakeTimeoutMs,
          idleTimeoutMs: config.limits.quicIdleTimeoutMs,
        },
        onInternal: onError,
        onEvent: (event) => metrics.countListener('quic', event),
      })
    : undefined;
  const quic = startedQuic instanceof QuicDeviceListener ? startedQuic : undefined;
  const quicProblem = startedQuic instanceof IdentityError ? startedQuic : undefined;
  if (quic) cleanup.push(() => quic.close(atOnce));
  const now = () => clock.now();
  const notice = await Notice.open({ config: config.notice, daemonId: identity.daemonId, now, onError });
  cleanup.push(() => notice.close());
  // Before anybody can pair or decide: the first change must be felt, too.
  for (const closing of [node, quic, channels]) {
    if (closing) cleanup.push(registry.enforce((event) => closing.apply(event)));
  }
  cleanup.push(registry.subscribe((event) => notice.take(event)));
  cleanup.push(registry.subscribe((event) => metrics.countRegistry(event)));
  if (options.onEvent) cleanup.push(registry.subscribe(options.onEvent));
  const openLimit = new OpenLimit({
    perSource: config.limits.opensPerMinutePerSource,
    overall: config.limits.opensPerMinute,
  });
  const pairing = await listen(
    { name: 'pairing', ...config.pairing },
    {
      credential,
      unfinished: new UnfinishedBytes(strangersUnfinished),
      routes: pairingRoutes({
        identity,
        openLimit,
        nodePort: () => node.port,
        quicPort: () => quic?.port,
        endpoints: config.endpoints,
        stopping: stopping.signal,
      }),
      channelEnded: (channel) => identity.responder.channelEnded(channel),
      limits: {
        connections: config.limits.pairingConnections,
        ...strangerLimits(config),
        messageBytes: MAX_PAIRING_MESSAGE_BYTES,
        streamsPerSession: 8,
        waitingStreams: 24,
      },
      onInternal: onError,
      onEvent: (event) => metrics.countListener('pairing', event),
      clock,
    },
  );
  cleanup.push(() => pairing.close(atOnce));

  const listeners = [
    { name: 'pairing', address: formatEndpoint({ host: config.pairing.host, port: pairing.port }) },
    { name: 'node', address: formatEndpoint({ host: config.node.host, port: node.port }) },
    ...(quic
      ? [{ name: 'quic', address: formatEndpoint({ host: quicPlace(config).host, port: quic.port }) }]
      : []),
    { name: 'admin', address: home.adminSocket },
  ];
  if (config.publish.port !== undefined) {
    const at = { name: 'publish', host: config.publish.host, port: config.publish.port } as const;
    const listener = await listenAt(at, listenPublish(at, identity, onError));
    cleanup.push(() => listener.close());
    listeners.push({
      name: 'publish',
      address: `http://${formatEndpoint({ host: config.publish.host, port: listener.port })}`,
    });
  }
  if (config.metrics.port !== undefined) {
    const at = { name: 'metrics', host: config.metrics.host, port: config.metrics.port } as const;
    const listener = await listenAt(at, listenMetrics(at, metrics, onError));
    cleanup.push(() => listener.close());
    listeners.push({
      name: 'metrics',
      address: `http://${formatEndpoint({ host: config.metrics.host, port: listener.port })}/metrics`,
    });
  }
  const { port: pairingPort } = pairing;
  const pairingAddress = () => config.endpoints.pairing[0] ?? shownAddress(config.pairing.host, pairingPort);
  console = config.console.enabled
    ? await startConsole({ config: config.console, clock, admin: adminOptions, onError })
    : undefined;
  if (console) {
    cleanup.push(() => console.close());
    listeners.push({ name: 'console', address: console.address });
  }
  const consoleLogin = console?.login ?? refuseWithoutConsole;
  const adminServices = (router: ConnectRouter) => {
    adminRoutes({ ...adminOptions, consoleLogin })(router);
    reflectionRoutes(router);
  };
  // Nothing else can keep it from starting, and no command finds it before.
  await rememberConfig(home);
  const admin = await withFileErrors(home.adminSocket, () =>
    listenAdmin(home.adminSocket, adminServices, onError),
  );
  cleanup.push(() => admin.close(atOnce));
  if (config.announce) {
    const { daemonId, trustDomain } = identity;
    const { host } = config.pairing;
    const announcer = new LanAnnouncer({ daemonId, trustDomain, host, port: pairing.port, onError });
    cleanup.push(() => announcer.close());
  }
  const timer = setInterval(() => {
    tick().catch((error) => onError(error, 'the periodic work'));
  }, tickMs);
  cleanup.push(() => clearInterval(timer));
  function tick(): Promise<void> {
    const done = stopping.signal.aborted ? Promise.resolve() : doWhatIsDue();
    ticking = Promise.allSettled([ticking, done]);
    return done;
  }
  async function doWhatIsDue(): Promise<void> {
    await identity.tick();
    const due = () => isHalfPresented || isDue(credential, clock.now());
    if (due()) await presentNewCredential(due);
  }
  /** One at a time. HTTP/2 connections stay; devices on QUIC reconnect. */
  function presentNewCredential(isWanted = () => true): Promise<void> {
    const presented = presenting.then(() => (isWanted() ? present() : undefined));
    // Whoever asked for it is told; who comes next only waits.
    presenting = presented.catch(() => {});
    return presented;
  }
  async function present(): Promise<void> {
    if (stopping.signal.aborted) return;
    const made = await identity.issueServerCredential(names);
    // A signer may take long, and what is closed meanwhile stays closed.
    if (stopping.signal.aborted) return;
    credential = made;
    // What fails from here on is tried again at the next tick.
    isHalfPresented = true;
    node.swapCredential(credential, identity.trustBundle);
    pairing.swapCredential(credential, identity.trustBundle);
    await quic?.swapCredential(credential, identity.trustBundle);
    isHalfPresented = false;
  }

  async function stop(cut?: AbortSignal): Promise<void> {
    clearInterval(timer);
    const until = new AbortController();
    until.signal.addEventListener('abort', () => over.resolve());
    const hurry = () => {
      channels.close();
      setTimeout(() => until.abort(), lastWordMs);
    };
    const deadline = setTimeout(hurry, config.limits.stopGraceMs);
    cut?.addEventListener('abort', hurry, { once: true });
    if (cut?.aborted) hurry();
    stopping.abort(new IdentityError('UNREACHABLE', 'The daemon stops.'));
    channels.drain();
    // All at one time; a revocation still reaches what runs on.
    const closing = await Promise.allSettled([
      console?.close(),
      ...[pairing, node, quic, admin].map((each) => each?.close(until.signal)),
    ]);
    // What the clock or an operator began still finds the registry open, but a signer that hangs is not waited for.
    await Promise.race([Promise.all([ticking, presenting]), over.promise]);
    clearTimeout(deadline);
    await unwind(cleanup);
    for (const each of closing) if (each.status === 'rejected') throw each.reason;
  }
  let stopped: Promise<void> | undefined;

  started.resolve();
  return {
    identity,
    daemonId: identity.daemonId,
    trustDomain: identity.trustDomain,
    rootFingerprint: identity.rootFingerprint,
    listeners,
    notes,
    get pairingAddress() {
      return pairingAddress();
    },
    tick,
    close(cut) {
      stopped ??= stop(cut);
      return stopped;
    },
  };
}

/** Last in, first out; each at most once. One that fails keeps none of the others. @throws what failed first. */
async function unwind(cleanup: (() => void | Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (let undo = cleanup.pop(); undo; undo = cleanup.pop()) {
    try {
      await undo();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

function listen(
  place: Place,
  options: Omit<Parameters<typeof Http2Listener.listen>[0], 'host' | 'port'>,
): Promise<Http2Listener> {
  return listenAt(place, Http2Listener.listen({ ...options, host: place.host, port: place.port }));
}

/** @returns a problem where this machine has no QUIC library; devices then use HTTP/2. */
async function startQuic(
  config: DaemonConfig,
  options: Omit<QuicDeviceListenerOptions, 'host' | 'port' | 'runtime'>,
): Promise<QuicDeviceListener | IdentityError> {
  try {
    const at = quicPlace(config);
    return await listenAt(
      at,
      QuicDeviceListener.listen({ ...options, ...config.quic, host: at.host, port: at.port }),
    );
  } catch (error) {
    if (!hasCode(error, 'QUIC_UNAVAILABLE')) throw error;
    const problem = withoutQuic(error);
    options.onInternal(problem, 'starting QUIC');
    return problem;
  }
}

const withoutIpv6 =
  'This machine has no IPv6: what listens on every interface (::) listens on those of IPv4 (0.0.0.0).';

/** A share of their own: strangers take nothing from devices. */
const strangersUnfinished = {
  sessionBytes: 256 * 1024,
  ownerBytes: 2 * 1024 * 1024,
  totalBytes: 32 * 1024 * 1024,
};

function strangerLimits({ limits }: DaemonConfig) {
  const { strangersPerSource, strangerIdleMs, handshakeTimeoutMs } = limits;
  return { strangersPerSource, strangerIdleMs, handshakeTimeoutMs };
}

/** Of all limits in the configuration those that the library has, where they are set. */
function pairingLimits({ limits }: DaemonConfig): Partial<PairingLimits> {
  const known = Object.entries(limits).filter(
    ([name, value]) => Object.hasOwn(defaultPairingLimits, name) && value !== undefined,
  );
  return Object.fromEntries(known);
}

/** Also one that is not valid yet: the clock was ahead when it was made, and devices refuse it. */
function isDue({ notBefore, notAfter }: ServerCredential, now: Date): boolean {
  const life = notAfter.getTime() - notBefore.getTime();
  return now < notBefore || now.getTime() >= notBefore.getTime() + (life * 2) / 3;
}

/** The machine's own name and the public one, where they can stand in a certificate, and what the configuration adds. */
function dnsNames({ endpoints, names }: DaemonConfig): string[] {
  const [shown] = endpoints.pairing.map((each) => parseEndpoint(each).host);
  const found = [hostname(), shown ?? ''].map((name) => name.toLowerCase());
  return [...new Set([...found.filter((name) => isDnsName(name) && name !== 'localhost'), ...names.dns])];
}
