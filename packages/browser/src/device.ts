// This browser as a device: its identity, its daemons, and its pairings.

import type { DeviceChannel } from '@palyra/channel';
import {
  awaitPairing,
  type DeviceCrypto,
  type DeviceIdentity,
  dropEnrollment,
  type Enrollment,
  loadEnrollments,
  type PairedEnrollment,
  type PendingEnrollment,
  parseDeviceName,
  parsePairingCode,
  parseWebEndpoint,
  requestPairing,
  systemClock,
} from '@palyra/identity/device-portable';
import { hasCode, IdentityError } from '@palyra/identity/portable';
import { pairingPeer } from '@palyra/rpc/portable';
import { type ConnectionState, DaemonConnection } from './connection.ts';
import { DeviceDatabase } from './database.ts';
import { dial } from './dial.ts';
import { Identities } from './identities.ts';
import { exclusively } from './lock.ts';
import { connectionOn } from './reach.ts';
import { IndexedRecords } from './records.ts';
import { dropUnusedKeys, mustHaveWebCrypto, webDeviceCrypto } from './web-crypto.ts';

export interface BrowserDeviceOptions {
  /** Name of the IndexedDB database. Each database is a separate device. Default: `palyra`. */
  readonly database?: string;
}

/** A daemon for which this device has a record. */
export interface KnownDaemon {
  /** SHA-256 of the root that was pinned with the code. Identifies the record. */
  readonly root: string;
  readonly daemonId: string;
  readonly trustDomain: string;
  /** URL of the channel over which it was paired. */
  readonly address: string;
  /** The id of this device at this daemon. */
  readonly deviceId: string;
  readonly state: Enrollment['state'];
  /** The three words of a request that waits for the operator. */
  readonly words?: string;
}

export interface WaitOptions {
  /** Called with the three words, which the operator compares. */
  readonly onWords: (words: string) => void;
  /** Stops waiting. The request remains, and `resume` continues it. */
  readonly signal?: AbortSignal;
}

export interface PairOptions extends WaitOptions {
  /** URL of the daemon's channel: `wss://host/channel`. */
  readonly address: string;
  /** Nine digits, or a `palyra:` URI. */
  readonly code: string;
  /** Shown to the operator. */
  readonly name: string;
  /** Pairs as a new device, which is needed after a revocation. Other daemons notice nothing. Default: false. */
  readonly newIdentity?: boolean;
}

/** host:port of the pairing listener, for records only. A browser cannot use it. */
const pairingPort = 7443;
const firstRetryMs = 500;
const maxRetryMs = 10_000;
const platform = 'browser';

export class BrowserDevice {
  /**
   * Whether the identity was created just now, because this profile had no device or its data was cleared. Such a device is paired
   * with no daemon. Operators see it as a new device.
   */
  readonly isNew: boolean;
  readonly #crypto: DeviceCrypto;
  readonly #database: DeviceDatabase;
  readonly #records: IndexedRecords;
  readonly #identities: Identities;

  private constructor(database: DeviceDatabase, records: IndexedRecords, identities: Identities) {
    this.#database = database;
    this.#crypto = identities.first.crypto;
    this.#records = records;
    this.#identities = identities;
    this.isNew = identities.isNew;
  }

  /**
   * Opens the device of this profile and origin, or creates it.
   * @throws VERSION_UNSUPPORTED for a browser without Ed25519 or X25519, STORE_FAILED, STORE_FULL, SECRET_CORRUPT
   */
  static async open(options: BrowserDeviceOptions = {}): Promise<BrowserDevice> {
    await mustHaveWebCrypto();
    const { database: name = 'palyra' } = options;
    const database = await DeviceDatabase.open(name);
    try {
      const crypto = webDeviceCrypto(database);
      const records = new IndexedRecords(database);
      return await exclusively(name, async () => {
        const identities = await Identities.open(records, crypto);
        await dropUnusedKeys(database, {
          ed25519: await identities.dropUnused(),
          p256: (await loadEnrollments(records)).map(({ tlsKey }) => tlsKey),
        });
        return new BrowserDevice(database, records, identities);
      });
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Resolves when the browser takes the database away, because its data is cleared. Everything then needs a new device. */
  get lost(): Promise<void> {
    return this.#database.lost;
  }

  /** A ULID: the id under which this device asks to be paired. */
  get id(): string {
    return this.#identities.first.id;
  }

  /** The daemons, waiting requests included. */
  async daemons(): Promise<KnownDaemon[]> {
    return (await loadEnrollments(this.#records)).map(knownDaemon);
  }

  /**
   * Pairs with a daemon, from the code to the certificate. Waits for the operator, even while the daemon is away. A page that is reloaded
   * in the meantime calls `resume`.
   * @throws CODE_MALFORMED, TOO_MANY_TRIES, ROOT_MISMATCH, DAEMON_NOT_AUTHENTICATED, CLOCK_SKEW, PAIRING_REJECTED,
   *   PAIRING_EXPIRED, UNREACHABLE, and the daemon's other errors.
   */
  async pair(options: PairOptions): Promise<KnownDaemon> {
    const code = parsePairingCode(options.code);
    const url = parseWebEndpoint(options.address);
    const name = parseDeviceName(options.name);
    const identity = options.newIdentity ? await this.#identities.create() : this.#identities.first;
    const { signal } = options;
    const channel = await dial({ url, purpose: 'pair', crypto: this.#crypto, signal });
    const peer = pairingPeer(callsOn(channel, false));
    const device = { ...this.#partsOf(identity), kind: 'browser' as const, name, platform };
    // An identity is stored after the daemon has accepted a request under it, and before the request is stored.
    const confirm: typeof peer.confirm = async (request) => {
      const confirmed = await peer.confirm(request);
      await this.#identities.keep(identity);
      return confirmed;
    };
    try {
      const host = code.address ?? `${new URL(url).hostname}:${pairingPort}`;
      const pending = await requestPairing(device, { ...peer, confirm }, code, host, url);
      return await this.#wait(pending, options, channel);
    } finally {
      channel.close();
    }
  }

  /**
   * Continues to wait for a pending request of `daemons`.
   * @throws NOT_PAIRED if there is none, and as `pair`.
   */
  async resume(root: string, options: WaitOptions): Promise<KnownDaemon> {
    const known = await loadEnrollments(this.#records);
    const pending = known.find((each) => each.root === root && each.state === 'pending');
    if (pending?.state !== 'pending') throw notPaired('This device has no pending request to this daemon.');
    return this.#wait(pending, options);
  }

  /**
   * Connects to a daemon. Renews the certificate first if it has expired.
   * @param root of `daemons`. Default: the only one.
   * @param onState called with the events of the connection and its renewals.
   * @throws NOT_PAIRED, UNREACHABLE, DAEMON_NOT_AUTHENTICATED, CLOCK_SKEW, DEVICE_REVOKED, and the daemon's other errors.
   */
  async connect(root?: string, onState?: (state: ConnectionState) => void): Promise<DaemonConnection> {
    const { parts, enrollment } = await this.enrolled(root);
    return DaemonConnection.open(parts, enrollment, onState);
  }

  /**
   * The device, with its record of a paired daemon.
   * @internal
   */
  async enrolled(root: string | undefined) {
    const paired = (await loadEnrollments(this.#records)).filter(
      (each): each is PairedEnrollment =>
        each.state === 'paired' && (root === undefined || each.root === root),
    );
    const [only, ...others] = paired;
    if (!only) throw notPaired('This device is not paired with this daemon.');
    if (others.length > 0)
      throw notPaired('This device is paired with several daemons. Name the root of one.');
    return { parts: this.#partsOf(await this.#identities.of(only)), enrollment: only };
  }

  /** Deletes the records of a daemon. Does not tell the daemon, where the operator has to revoke the device. */
  async forget(root: string): Promise<void> {
    for (const state of ['pending', 'paired'] as const) await dropEnrollment(this.#records, { root, state });
  }

  /** Closes the database. Connections must be closed separately. */
  close(): void {
    this.#database.close();
  }

  #partsOf(identity: DeviceIdentity) {
    return { identity, secrets: this.#records, crypto: this.#crypto, clock: systemClock };
  }

  async #wait(pending: PendingEnrollment, options: WaitOptions, first?: DeviceChannel): Promise<KnownDaemon> {
    options.onWords(pending.words);
    const parts = this.#partsOf(await this.#identities.of(pending));
    const signal = options.signal ?? new AbortController().signal;
    let channel = first;
    for (let retryMs = firstRetryMs; ; retryMs = Math.min(2 * retryMs, maxRetryMs)) {
      try {
        channel ??= await dial({
          url: pending.webAddress ?? '',
          purpose: 'pair',
          crypto: this.#crypto,
          known: pending,
          signal,
        });
        const peer = pairingPeer(callsOn(channel, channel !== first));
        return knownDaemon(await awaitPairing(parts, peer, pending, { signal }));
      } catch (error) {
        signal.throwIfAborted();
        if (!hasCode(error, 'UNREACHABLE')) throw error;
      } finally {
        channel?.close();
        channel = undefined;
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      signal.throwIfAborted();
    }
  }
}

const knownDaemon = (record: Enrollment): KnownDaemon => ({
  root: record.root,
  daemonId: record.daemonId,
  trustDomain: record.trustDomain,
  address: record.webAddress ?? '',
  deviceId: record.deviceId,
  state: record.state,
  ...(record.state === 'pending' && { words: record.words }),
});

function callsOn(channel: DeviceChannel, isKnownDaemon: boolean) {
  return { ...connectionOn(channel), isKnownDaemon };
}

const notPaired = (message: string) => new IdentityError('NOT_PAIRED', message);
