// The live connections of devices, over all transports. The registry admits each connection and is asked again for every call.
// A connection is shut when its device is revoked, or its certificate is superseded or expires.

import { type AuthenticatedDevice, IdentityError } from '@palyra/identity';
import type { ChainJudge } from '@palyra/identity/certificate';
import { type RegistryEvent, revokedMessage, roleMissing, standingMessages } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';
import type { DevicePeer } from '../access/peer.ts';

/** The registry's checks for listeners. IdentityManager implements them. */
export interface DeviceAuthenticator {
  /** Checks a new connection and records its source. The first use of a certificate makes it active. */
  admit(fingerprint: string, source: string): Promise<AuthenticatedDevice>;
  /** Checks a call. */
  authenticate(fingerprint: string): Promise<AuthenticatedDevice>;
  /** Grows with every revocation. */
  readonly revocationEpoch: number;
  /** Resolves when `revocationEpoch` counts every revocation from before this call. Undefined if it does already. */
  upToDate(): Promise<void> | undefined;
  /** The judge of the roots and issuing CAs that are valid at this moment. */
  readonly chainJudge: ChainJudge;
}

export interface DeviceConnection {
  readonly peer: DevicePeer;
  /** Resolves when the registry admits the device. Rejects with the code of the refusal. */
  readonly admission: Promise<AuthenticatedDevice>;
  /** Must be called when the connection has ended. */
  forget(): void;
}

/** Connections of one device on one listener. A device that misbehaves or was taken over then shuts out only itself. */
const maxPerDevice = 16;

interface Entry {
  readonly fingerprint: string;
  readonly notAfterMs: number;
  readonly end: AbortController;
  roleEnd: AbortController;
  readonly shut: (reason: IdentityError) => void;
  device: AuthenticatedDevice | undefined;
  /** Set while the transport has failed to shut the connection. */
  stillOpen: IdentityError | undefined;
}

export class DeviceConnections {
  readonly #authenticator: DeviceAuthenticator;
  readonly #entries = new Set<Entry>();
  readonly #perDevice = new Map<DeviceId, number>();

  readonly #onError: (error: unknown, where: string) => void;

  /** @param onError called when a connection could not be shut. */
  constructor(authenticator: DeviceAuthenticator, onError: (error: unknown, where: string) => void) {
    this.#authenticator = authenticator;
    this.#onError = onError;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * @param options `certificate` is the peer's; TLS has proven that the peer holds the key. `shut` ends the connection; its
   *   calls have been aborted by then. `refused` is called when a call was refused because of the certificate.
   */
  add(options: {
    readonly transport: DevicePeer['transport'];
    readonly certificate: { readonly fingerprint: string; readonly notAfter: Date };
    /** The peer's address. */
    readonly source: string;
    /** The web origin that a browser sent. */
    readonly origin?: string | undefined;
    readonly shut: (reason: IdentityError) => void;
    readonly refused?: (reason: IdentityError) => void;
  }): DeviceConnection {
    const authenticator = this.#authenticator;
    const { fingerprint, notAfter } = options.certificate;
    const entry: Entry = {
      fingerprint,
      notAfterMs: notAfter.getTime(),
      end: new AbortController(),
      roleEnd: new AbortController(),
      shut: options.shut,
      device: undefined,
      stillOpen: undefined,
    };
    // Added before the verdict, so that a revocation in between finds the connection.
    this.#entries.add(entry);
    const epoch = authenticator.revocationEpoch;
    const admission = authenticator.admit(fingerprint, options.source).then((device) => {
      this.#countDevice(entry, device);
      // A revocation while the verdict was pending was not applied here yet. Later ones find the entry.
      const present = () =>
        authenticator.revocationEpoch === epoch ? device : authenticator.authenticate(fingerprint);
      const upToDate = authenticator.upToDate();
      return upToDate ? upToDate.then(present) : present();
    });
    let isAdmitted = false;
    // Callers that await the verdict see the rejection. Without one, the rejection is ignored.
    admission.then(
      () => {
        isAdmitted = true;
      },
      () => {},
    );
    const refuse = (error: unknown): never => {
      // A failing store says nothing about the device, which tries again on this connection.
      if (error instanceof IdentityError && error.family !== 'store') options.refused?.(error);
      throw error;
    };
    const peer: DevicePeer = {
      caller: 'device',
      transport: options.transport,
      source: options.source,
      origin: options.origin,
      epoch: () => authenticator.revocationEpoch,
      upToDate: () => authenticator.upToDate(),
      ended: entry.end.signal,
      roleEnded: () => entry.roleEnd.signal,
      admitted: () => {
        // Throws, because a shut connection gets no further call.
        if (entry.end.signal.aborted) throw entry.end.signal.reason;
        return isAdmitted ? undefined : admission.then(() => {}, refuse);
      },
      check: async () => {
        if (!isAdmitted) await admission.catch(refuse);
        return authenticator.authenticate(fingerprint).catch(refuse);
      },
    };
    return { peer, admission, forget: () => this.#forget(entry) };
  }

  #countDevice(entry: Entry, device: AuthenticatedDevice): void {
    if (!this.#entries.has(entry)) return;
    const count = this.#perDevice.get(device.deviceId) ?? 0;
    if (count >= maxPerDevice) {
      throw new IdentityError(
        'TOO_MANY_SESSIONS',
        `This device has ${maxPerDevice} connections already. Close some, or wait until some have ended.`,
      );
    }
    this.#perDevice.set(device.deviceId, count + 1);
    entry.device = device;
  }

  #forget(entry: Entry): void {
    const { device } = entry;
    if (!this.#entries.delete(entry) || !device) return;
    const count = (this.#perDevice.get(device.deviceId) ?? 0) - 1;
    if (count > 0) this.#perDevice.set(device.deviceId, count);
    else this.#perDevice.delete(device.deviceId);
  }

  /** Immediately shuts the connections affected by a change of the registry. */
  apply(event: RegistryEvent): void {
    for (const entry of this.#entries) {
      const { device } = entry;
      if (!device) continue;
      if (event.type === 'changes_missed') this.#shutFor(entry, changesMissed());
      if (event.type === 'device_revoked' && device.deviceId === event.deviceId)
        this.#shut(entry, 'DEVICE_REVOKED', revokedMessage(event.reason));
      if (event.type === 'device_quarantined' && device.deviceId === event.deviceId)
        this.#shut(entry, 'DEVICE_QUARANTINED');
      if (event.type === 'device_role_changed' && device.deviceId === event.deviceId) {
        entry.roleEnd.abort(roleMissing(device.deviceId));
        entry.roleEnd = new AbortController();
      }
      if (event.type === 'certificate_revoked' && device.serial === event.serial)
        this.#shut(entry, 'CERTIFICATE_REVOKED');
      if (event.type === 'authority_retired' && device.issuerId === event.issuerId)
        this.#shut(entry, 'AUTHORITY_RETIRED');
      if (event.type === 'certificate_superseded' && device.serial === event.serial) {
        this.#shut(entry, 'CERTIFICATE_SUPERSEDED');
      }
    }
  }

  /** Shuts connections whose certificate has expired, and retries those that could not be shut. */
  shutExpired(now: Date): void {
    for (const entry of this.#entries) {
      if (entry.stillOpen) this.#end(entry, entry.stillOpen);
      // A connection that began with an expired certificate was refused, and still waits for its one answer.
      if (entry.device && now.getTime() >= entry.notAfterMs) this.#shut(entry, 'CERTIFICATE_EXPIRED');
    }
  }

  #shut(entry: Entry, code: keyof typeof standingMessages, message = standingMessages[code]): void {
    this.#shutFor(entry, new IdentityError(code, message));
  }

  #shutFor(entry: Entry, reason: IdentityError): void {
    if (entry.end.signal.aborted) return;
    // Aborts the running calls first and at once, because the connection waits for them only briefly.
    entry.end.abort(reason);
    this.#end(entry, reason);
  }

  /** A failure does not keep other connections open. */
  #end(entry: Entry, reason: IdentityError): void {
    entry.stillOpen = reason;
    try {
      entry.shut(reason);
      entry.stillOpen = undefined;
    } catch (error) {
      this.#onError(error, 'closing a connection');
    }
  }
}

function changesMissed(): IdentityError {
  return new IdentityError(
    'UNREACHABLE',
    'The daemon was away, and checks every device again. Connect again.',
  );
}
