// The simulated daemon: the real identity library on a real home, with the work of its listeners but without sockets.

import assert from 'node:assert/strict';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import { takeHome } from '@palyra/daemon/home';
import {
  type AuthenticatedDevice,
  FilesystemSecretStore,
  IdentityError,
  IdentityManager,
  masterKeyFromFile,
  type ServerCredential,
  verifyAudit,
} from '@palyra/identity';
import type { PairingPeer, RecoveryPeer } from '@palyra/identity/device';
import type { Registry, RegistryEvent } from '@palyra/identity/registry';
import type { RunningClock } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import type { SqlSecretStore } from '@palyra/registry-sql/postgres';
import { callingDevice, fromConnectError, PairingService } from '@palyra/rpc';
import { accessCheck, contextOf, DeviceConnections, type Peer, pairingChannel } from '@palyra/rpc/transport';
import { type Random, seededCrypto } from '../random.ts';
import type { Agenda } from './agenda.ts';
import { leadsTo, peerCertificate } from './chain.ts';
import { watchChanges } from './changes.ts';
import type { Invariants } from './invariants.ts';
import { Mortal, mortalStore } from './mortal.ts';
import { thiefSource } from './thieves.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
/** Rare, because ticks take most of a simulated year's time. Every few hours is enough for events that are due in days. */
const tickMs = 12 * hour;

/** Life of a device's certificate for most of the year. The default of one day would cause a hundred thousand renewals. */
export const usualLifeMs = 20 * day;

export interface Connection {
  readonly deviceId: string;
  readonly serial: string;
  readonly notAfterMs: number;
  /** One call, through the access check. */
  call<T>(
    method: DescMethod & { readonly parent: DescService },
    work: (caller: AuthenticatedDevice, identity: IdentityManager) => Promise<T>,
  ): Promise<T>;
  /** Called by the device. The daemon may or may not notice. */
  close(): void;
}

interface Running {
  readonly process: Mortal;
  readonly identity: IdentityManager;
  readonly connections: DeviceConnections;
  /** Live connections, each with the callback for its end. */
  readonly open: Map<Connection, (reason: IdentityError) => void>;
  credential: ServerCredential;
  readonly stop: () => Promise<void>;
}

/** What devices and the operator have to do with: one daemon, or several. */
export type Authority = Pick<
  Daemon,
  | 'home'
  | 'clock'
  | 'clockOffsetMs'
  | 'certificateLifeMs'
  | 'onEvent'
  | 'nowMs'
  | 'isUp'
  | 'start'
  | 'stop'
  | 'crashAt'
  | 'operate'
  | 'authorityChanged'
  | 'verifyAudit'
  | 'forgetAuditHead'
  | 'openConnections'
  | 'presented'
  | 'accept'
  | 'pairingPeer'
>;

/** Opens the stores that several daemons share. */
export type OpenShared = () => Promise<{ readonly secrets: Store; readonly registry: Registry }>;
type Store = Awaited<ReturnType<typeof FilesystemSecretStore.open>> | SqlSecretStore;

export class Daemon {
  readonly home: string;
  readonly clock: RunningClock;
  /** Error of its clock. */
  clockOffsetMs = 0;
  /** From its configuration. */
  certificateLifeMs = usualLifeMs;
  /** Called for changes, like the operator's console. */
  onEvent: (event: RegistryEvent) => void = () => {};
  readonly #openShared: OpenShared | undefined;
  readonly #agenda: Agenda;
  readonly #random: Random;
  readonly #invariants: Invariants;
  readonly #crypto: ReturnType<typeof seededCrypto>;
  readonly #check: ReturnType<typeof accessCheck>;
  #running: Running | undefined;
  #following: Promise<void> = Promise.resolve();
  /** A crash of the next run, or of its start. */
  #nextCrash: number | undefined;
  #auditHead: { readonly seq: number; readonly hash: string } | undefined;

  constructor(options: {
    readonly home: string;
    readonly agenda: Agenda;
    readonly random: Random;
    readonly invariants: Invariants;
    readonly openShared?: OpenShared;
  }) {
    this.home = options.home;
    this.#openShared = options.openShared;
    this.#agenda = options.agenda;
    this.#random = options.random;
    this.#invariants = options.invariants;
    this.#crypto = seededCrypto(options.random.fork());
    this.clock = { now: () => new Date(this.nowMs), elapsedMs: () => this.#agenda.nowMs };
    this.#check = accessCheck((error, method) => {
      if (!this.#running?.process.dead) throw new Error(`a bug in ${method}`, { cause: error });
    });
  }

  get nowMs(): number {
    return this.#agenda.nowMs + this.clockOffsetMs;
  }

  get isUp(): boolean {
    return this.#running !== undefined;
  }

  async start(): Promise<void> {
    const process = new Mortal();
    if (this.#nextCrash !== undefined) process.dieAt(this.#nextCrash);
    this.#nextCrash = undefined;
    const undo: (() => unknown)[] = [];
    const stop = async () => {
      for (let each = undo.pop(); each; each = undo.pop()) await each();
    };
    try {
      const home = await takeHome(this.home);
      undo.push(() => home.release());
      const { secrets, registry } = await (this.#openShared ?? (() => openFiles(home)))();
      undo.push(() => secrets.close());
      undo.push(() => registry.close());
      await this.#checkNothingLost(registry);
      watchChanges(registry, process, this.#invariants);
      const identity = await IdentityManager.open({
        secrets: mortalStore(secrets, process),
        registry,
        clock: this.clock,
        crypto: this.#crypto,
        limits: { deviceCertificateLifeMs: this.certificateLifeMs },
        trustDomain: 'year.example.internal',
      });
      await identity.tick();
      const credential = await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
      const connections = new DeviceConnections(identity, assert.ifError);
      undo.push(
        registry.enforce((event) => connections.apply(event)),
        registry.subscribe((event) => {
          this.onEvent(event);
          if (this.#openShared && event.type === 'authorities_changed')
            this.#following = this.authorityChanged().catch(unlessUnreachable);
          if (event.type !== 'clone_suspected') return;
          const isThief = event.source === thiefSource;
          this.#invariants.happened(isThief ? 'copy reported' : 'taken for a copy', event.name);
        }),
      );
      const running: Running = { process, identity, connections, open: new Map(), credential, stop };
      this.#running = running;
      this.#tickLater(running);
      this.#invariants.happened('daemon started');
    } catch (error) {
      await stop();
      if (!process.dead) throw error;
      this.#startLater();
    }
  }

  /** A clean stop by its operator. */
  async stop(): Promise<void> {
    if (this.#running) await this.#end(this.#running);
  }

  /** @param step of the current run, or of the next start. */
  crashAt(step: number, isNextStart: boolean): void {
    if (isNextStart) this.#nextCrash = step;
    else this.#running?.process.dieAt(step);
  }

  /** An operator's action at the admin socket. @throws UNREACHABLE when the daemon is down, or crashes meanwhile. */
  async operate<T>(work: (identity: IdentityManager) => Promise<T>): Promise<T> {
    return this.#within(({ identity }) => work(identity));
  }

  /** Like the admin service after a step of a root rotation. */
  async authorityChanged(): Promise<void> {
    await this.#within(async (running) => {
      await running.identity.reloadAuthority();
      await this.#presentNewCredential(running);
    });
  }

  /** Takes over everything that the other daemons have done. */
  async follow(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    await running.identity.registry.upToDate();
    await this.#following;
  }

  async verifyAudit(): Promise<void> {
    const verdict = await this.operate(({ registry }) => verifyAudit(registry));
    if (!verdict.ok)
      this.#invariants.fail(`the audit chain is broken at ${verdict.brokenAt}: ${verdict.problem}`);
    this.#invariants.happened('audit verified', String(verdict.rows));
  }

  /** The restored audit chain is older. */
  forgetAuditHead(): void {
    this.#auditHead = undefined;
  }

  get openConnections(): Iterable<Connection> {
    return this.#running?.open.keys() ?? [];
  }

  /** The certificate that the daemon presents on both listeners. @throws UNREACHABLE */
  presented(): {
    readonly chain: readonly Uint8Array[];
    readonly daemonId: string;
    readonly roots: readonly Uint8Array[];
  } {
    const { credential, identity } = this.#up();
    return { chain: credential.certificateChain, daemonId: identity.daemonId, roots: identity.trustBundle };
  }

  /**
   * A connection to the node listener.
   * @param shut called when the daemon ends it.
   * @throws the code that refuses the certificate.
   */
  async accept(
    chain: readonly Uint8Array[],
    source: string,
    shut: (reason: IdentityError) => void,
  ): Promise<Connection> {
    return this.#within(async (running) => {
      const { identity, connections, open } = running;
      if (!leadsTo(chain.slice(1), identity.trustBundle)) throw foreign();
      const { fingerprint, notAfter, serial, spiffeId } = peerCertificate(chain[0]!);
      const ended = (reason: IdentityError) => {
        open.delete(connection);
        peer.forget();
        shut(reason);
      };
      const certificate = { fingerprint, notAfter };
      const peer = connections.add({ transport: 'http2', certificate, source, shut: ended });
      const connection: Connection = {
        deviceId: 'id' in spiffeId ? spiffeId.id : '',
        serial,
        notAfterMs: notAfter.getTime(),
        call: (method, work) => this.#callOf(running, connection, peer.peer, method, work),
        close: () => {
          open.delete(connection);
          peer.forget();
        },
      };
      try {
        const device = await peer.admission;
        this.#invariants.accepted(device.deviceId, device.serial, this.nowMs);
      } catch (error) {
        peer.forget();
        throw error;
      }
      open.set(connection, ended);
      this.#sweepAt(connection.notAfterMs, running);
      return connection;
    });
  }

  /** The pairing listener's calls on one TLS channel. */
  pairingPeer(source: string): PairingPeer & RecoveryPeer {
    const channelBinding = this.#crypto.randomBytes(32);
    const channel = { channelBinding, source };
    const peer: Peer = { caller: 'anyone', channel };
    const { open, exchange, confirm, challenge, recover } = PairingService.method;
    const serve = <T>(
      method: DescMethod & { readonly parent: DescService },
      work: (identity: IdentityManager, context: HandlerContext) => Promise<T>,
    ) => this.#within(({ identity }) => this.#serve(peer, method, (context) => work(identity, context)));
    return {
      channelBinding,
      isKnownDaemon: true,
      open: (request) => serve(open, ({ responder }, at) => responder.open(pairingChannel(at), request)),
      exchange: (request) =>
        serve(exchange, ({ responder }, at) => responder.exchange(pairingChannel(at), request)),
      confirm: (request) =>
        serve(confirm, ({ responder }, at) => responder.confirm(pairingChannel(at), request)),
      challenge: () => serve(challenge, async ({ renewals }, at) => renewals.challenge(pairingChannel(at))),
      recover: (request) =>
        serve(recover, ({ renewals }, at) => renewals.recover(pairingChannel(at), request)),
      await: (request, signal) => this.#await(channel, request, signal),
    };
  }

  async *#await(...[channel, request, signal]: Parameters<IdentityManager['responder']['await']>) {
    const updates = this.#up().identity.responder.await(channel, request, signal);
    for (;;) {
      const next = await this.#within(() => updates.next());
      if (next.done) return;
      yield next.value;
    }
  }

  #callOf<T>(
    running: Running,
    connection: Connection,
    peer: Peer,
    method: DescMethod & { readonly parent: DescService },
    work: (caller: AuthenticatedDevice, identity: IdentityManager) => Promise<T>,
  ): Promise<T> {
    return this.#within((now) => {
      if (now !== running || !running.open.has(connection)) throw unreachable();
      return this.#serve(peer, method, (context) => {
        const caller = callingDevice(context);
        this.#invariants.accepted(caller.deviceId, caller.serial, this.nowMs);
        return work(caller, running.identity);
      });
    });
  }

  /** One unary call through the access check, with errors converted to the wire and back. */
  async #serve<T>(
    peer: Peer,
    method: DescMethod & { readonly parent: DescService },
    work: (context: HandlerContext) => Promise<T>,
  ): Promise<T> {
    const values = contextOf(peer);
    try {
      return await this.#check.unary(`${method.parent.typeName}/${method.name}`, values, () =>
        work({ values } as HandlerContext),
      );
    } catch (error) {
      throw fromConnectError(error);
    }
  }

  /** A dead process sends nothing. */
  async #within<T>(work: (running: Running) => Promise<T> | T): Promise<T> {
    const running = this.#up();
    try {
      return await work(running);
    } finally {
      if (running.process.dead && this.#running === running) {
        this.#invariants.happened('daemon crashed');
        await this.#end(running);
        this.#startLater();
      }
      // biome-ignore lint/correctness/noUnsafeFinally: a dead process answers nothing, whatever the result of the work.
      if (running.process.dead) throw unreachable();
    }
  }

  #up(): Running {
    if (!this.#running) throw unreachable();
    return this.#running;
  }

  async #end(running: Running): Promise<void> {
    this.#running = undefined;
    this.#auditHead = await running.identity.registry.auditHead();
    for (const ended of [...running.open.values()]) ended(unreachable());
    await running.stop();
  }

  #startLater(): void {
    this.#agenda.after(this.#random.between(0.2 * minute, 2 * hour), () => {
      // The operator may have restarted it already.
      if (!this.#running) return this.start();
    });
  }

  #tickLater(running: Running): void {
    this.#agenda.after(tickMs, async () => {
      if (this.#running !== running) return;
      await this.#within(async () => {
        await running.identity.tick();
        const { notBefore, notAfter } = running.credential;
        const life = notAfter.getTime() - notBefore.getTime();
        if (this.nowMs >= notBefore.getTime() + (life * 2) / 3) await this.#presentNewCredential(running);
      }).catch(unlessUnreachable);
      this.#tickLater(running);
    });
  }

  async #presentNewCredential(running: Running): Promise<void> {
    running.credential = await running.identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
  }

  /** Real listeners check every second. Here they check when something has changed. */
  #sweepAt(atMs: number, running: Running): void {
    this.#agenda.after(atMs - this.nowMs, () => {
      if (this.#running !== running) return;
      running.connections.shutExpired(this.clock.now());
      this.#invariants.connectionsEnd(running.open.keys(), this.nowMs);
      // The clock was set back in the meantime.
      if (this.nowMs < atMs) this.#sweepAt(atMs, running);
    });
  }

  async #checkNothingLost(registry: Registry): Promise<void> {
    const before = this.#auditHead;
    if (!before || before.seq === 0) return;
    const [row] = await registry.audit({ limit: 1, before: before.seq + 1 });
    if (row?.hash !== before.hash) this.#invariants.fail('what was audited is gone after a restart');
  }
}

async function openFiles(home: Awaited<ReturnType<typeof takeHome>>) {
  const masterKey = await masterKeyFromFile({ path: home.masterKey });
  const secrets = await FilesystemSecretStore.open({ path: home.secrets, masterKey });
  return { secrets, registry: await openSqliteRegistry({ path: home.registry }) };
}

export function unreachable(): IdentityError {
  return new IdentityError('UNREACHABLE', 'Nobody answers.');
}

export function unlessUnreachable(error: unknown): void {
  if (!(error instanceof IdentityError && error.code === 'UNREACHABLE')) throw error;
}

function foreign(): IdentityError {
  return new IdentityError('CERTIFICATE_UNKNOWN', 'Another authority issued this certificate.');
}
