// The invariants of the year, judged by the true history, which is recorded here and survives every crash and restore of the
// daemon. A violation ends the year.

import { createHash } from 'node:crypto';
import type { IdentityError, IdentityErrorCode } from '@palyra/identity';
import type { AuthorityRecord, CertificateRecord, Device, ListOfAuthority } from '@palyra/identity/registry';
import { defaultPairingLimits } from '@palyra/identity/values';
import type { Agenda } from './agenda.ts';

export class Violation extends Error {}

/** `maybe`: the answer to a requested change has not arrived yet, so either outcome is right. */
type Certainty = 'no' | 'maybe' | 'yes';

interface KnownCertificate {
  /** Undefined for the daemon's own certificates. */
  readonly deviceId: string | undefined;
  readonly issuerId: string;
  readonly issuedMs: number;
  readonly notAfterMs: number;
  revoked: Certainty;
  usedMs: number | undefined;
  /** When a later certificate was first used. */
  supersededMs: number | undefined;
  /** Whether it is newer than the restored backup. */
  forgotten: boolean;
  /** Whether the restored registry does not know it, so that no list can contain it. */
  lost: boolean;
}

interface KnownDevice {
  /** When the registry learnt of it. An earlier backup does not contain it. */
  approvedMs: number;
  /** The end of its last used certificate. */
  usedUntilMs: number;
  revoked: Certainty;
  forgotten: boolean;
  /** When another identity key replaced its first one. */
  keyReplacedMs: number | undefined;
  /** A root rotation finished without this device, and the operator knew. */
  leftBehind: boolean;
}

/** The refusable contents of a registry. */
export interface RegistryContents {
  readonly devices: ReadonlyMap<string, Device>;
  readonly certificates: ReadonlyMap<string, CertificateRecord>;
}

/** The refused device, and the credentials that it used. */
export interface Refused {
  readonly deviceId: string;
  readonly identityKey: string;
  readonly serial: string;
  readonly daemonNowMs: number;
  readonly deviceNowMs: number;
  /** Whether the certificate leads to a trusted root. */
  readonly isOurs: boolean;
}

const minute = 60_000;
/** Tolerance after its end. A clock is set by at most 8 minutes. */
const listedAtLeastMs = 2 * minute;
/** Clocks are wrong by some minutes, and so are answers that depend on the time. */
const slackMs = 30 * minute;

export class Invariants {
  readonly counts = new Map<string, number>();
  readonly #agenda: Agenda;
  readonly #journal = createHash('sha256');
  readonly #certificates = new Map<string, KnownCertificate>();
  readonly #ofDevice = new Map<string, KnownCertificate[]>();
  readonly #serials = new Set<string>();
  readonly #devices = new Map<string, KnownDevice>();
  /** Replaced identity keys. */
  readonly #replacedKeys = new Map<string, Certainty>();
  readonly #listNumbers = new Map<string, { readonly number: number; readonly der: Buffer }>();
  #clockSetBackMs = Number.NEGATIVE_INFINITY;

  constructor(agenda: Agenda) {
    this.#agenda = agenda;
  }

  /** Added to the journal. */
  happened(what: string, who = ''): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    this.#journal.update(`${this.#agenda.nowMs} ${what} ${who}\n`);
  }

  count(what: string): number {
    return this.counts.get(what) ?? 0;
  }

  /** Equal for two years with the same events. */
  digest(): string {
    return this.#journal.copy().digest('hex');
  }

  fail(problem: string): never {
    throw new Violation(`${this.#agenda.now().toISOString()}: ${problem}`);
  }

  // The true history.

  issued(certificate: CertificateRecord): void {
    const { serial, subject, issuerId, notAfter } = certificate;
    this.#takeSerial(serial);
    const deviceId = subject.kind === 'device' ? subject.id : undefined;
    const known: KnownCertificate = {
      deviceId,
      issuerId,
      issuedMs: this.#agenda.nowMs,
      notAfterMs: notAfter.getTime(),
      revoked: 'no',
      usedMs: undefined,
      supersededMs: undefined,
      forgotten: false,
      lost: false,
    };
    this.#certificates.set(serial, known);
    if (deviceId !== undefined) this.#ofDevice.set(deviceId, [...this.#allOf(deviceId), known]);
    this.happened('certificate issued', serial);
  }

  authorityMade({ serial, tier }: AuthorityRecord): void {
    this.#takeSerial(serial);
    this.happened(`${tier} CA made`, serial);
  }

  activated(serial: string): void {
    const certificate = this.#certificate(serial);
    for (const other of this.#allOf(certificate.deviceId ?? '')) {
      if (other !== certificate && !other.forgotten) other.supersededMs ??= this.#agenda.nowMs;
    }
    this.happened('certificate activated', serial);
  }

  /** The daemon may or may not have noticed or accepted it. */
  approving(deviceId: string): void {
    const known = this.#devices.get(deviceId);
    if (known && !known.forgotten) known.leftBehind = false;
  }

  /** The registry has a new device: its approval is durable, whether or not the answer arrived. */
  deviceInserted(deviceId: string): void {
    const { nowMs } = this.#agenda;
    const known = this.#devices.get(deviceId);
    if (known && !known.forgotten)
      this.fail(`device ${deviceId} was lost by the registry, and is new to it again`);
    if (known?.revoked === 'yes')
      this.fail(`device ${deviceId} was revoked, and is new to the registry again`);
    this.#devices.set(deviceId, {
      approvedMs: nowMs,
      usedUntilMs: nowMs,
      revoked: known?.revoked ?? 'no',
      forgotten: false,
      keyReplacedMs: undefined,
      leftBehind: false,
    });
  }

  /** Another identity key replaces this one. */
  keyReplaced(deviceId: string, oldKey: string, certainty: Certainty): void {
    this.#replacedKeys.set(oldKey, certainty);
    const device = this.#devices.get(deviceId);
    if (device) device.keyReplacedMs = this.#agenda.nowMs;
    if (certainty === 'maybe') this.#setCertificates(deviceId, 'maybe');
    for (const known of this.#allOf(deviceId)) if (known.revoked === 'maybe') known.revoked = certainty;
  }

  deviceRevoked(deviceId: string, certainty: Certainty): void {
    const known = this.#devices.get(deviceId);
    if (known) known.revoked = certainty;
    if (certainty === 'yes') this.#setCertificates(deviceId, 'yes');
  }

  certificateRevoked(serial: string, certainty: Certainty): void {
    this.#certificate(serial).revoked = certainty;
  }

  leftBehind(deviceId: string): void {
    const known = this.#devices.get(deviceId);
    if (known) known.leftBehind = true;
  }

  clockSetBack(): void {
    this.#clockSetBackMs = this.#agenda.nowMs;
  }

  /**
   * @param backupMs time of the backup. Only this object knows of later events,
   * @param isRegistryLost and only the operator knows of later revocations.
   */
  restored(backupMs: number, isRegistryLost: boolean): void {
    for (const known of this.#certificates.values()) {
      if (known.issuedMs >= backupMs) {
        known.forgotten = true;
        // Refusals that did not exist yet cannot be carried over, and certificates of a forgotten device have no owner.
        const isOwned = (this.#devices.get(known.deviceId ?? '')?.approvedMs ?? backupMs) < backupMs;
        known.lost ||= isRegistryLost || known.revoked !== 'yes' || !isOwned;
      }
      // This knowledge was lost with the registry.
      if (isRegistryLost && known.supersededMs !== undefined && known.supersededMs >= backupMs)
        known.supersededMs = undefined;
    }
    for (const [id, device] of this.#devices) {
      if (device.approvedMs >= backupMs) device.forgotten = true;
      const last = this.#allOf(id).findLast(
        ({ usedMs, forgotten }) => !forgotten && usedMs !== undefined && usedMs < backupMs,
      );
      // Only its absence up to the backup counts.
      const awayMs = Math.max(0, backupMs - Math.max(device.approvedMs, last?.notAfterMs ?? 0));
      device.usedUntilMs = this.#agenda.nowMs - awayMs;
    }
  }

  /** Compares the replaced registry with the restored one: everything that was refused is still refused. */
  nothingForgotten(before: RegistryContents, after: RegistryContents): void {
    for (const [id, was] of before.devices) {
      const is = after.devices.get(id);
      const forgets = (what: string) => this.fail(`the restore forgot ${what} of device ${id}`);
      if (was.state === 'revoked' && is?.state !== 'revoked') forgets('the revocation');
      if (was.state === 'quarantined' && is?.state !== 'quarantined' && is?.state !== 'revoked')
        forgets('the quarantine');
      if (was.state !== 'revoked' && is?.state !== 'revoked') {
        if (was.cloneSeenAt && !is?.cloneSeenAt) forgets('the mark of a possible copy');
        if (was.recovery?.state === 'asked' && is?.recovery?.state !== 'asked')
          forgets('that the operator has to decide');
        if (was.recovery?.state !== 'released' && is?.recovery?.state === 'released')
          forgets('that its release was used');
        if (was.cloneSeenAt) this.happened('mark carried over', id);
      }
      if (was.role === 'device' && is && is.role !== 'device') forgets('that it is no operator');
      if (is && !Buffer.from(is.identityKey).equals(was.identityKey)) forgets('the new identity key');
    }
    for (const [serial, was] of before.certificates) {
      const is = after.certificates.get(serial);
      if (!is) continue;
      if (was.state === 'superseded' && is.state !== 'superseded' && is.state !== 'revoked')
        this.fail(`the restore forgot that certificate ${serial} is superseded`);
      if (was.state === 'revoked' && is.state !== 'revoked')
        this.fail(`the restore forgot that certificate ${serial} is revoked`);
      if (was.state === 'superseded') this.happened('superseded carried over', serial);
    }
  }

  /** Devices that the operator must name when only a backup is left. */
  shutOutSince(backupMs: number): string[] {
    const devices = [...this.#devices]
      .filter(([, { revoked, keyReplacedMs = 0 }]) => revoked !== 'no' || keyReplacedMs >= backupMs)
      .map(([id]) => id);
    const certificates = [...this.#certificates.values()]
      .filter(({ revoked, notAfterMs }) => revoked !== 'no' && notAfterMs > backupMs)
      .map(({ deviceId }) => deviceId!);
    return [...new Set([...devices, ...certificates])];
  }

  /** Whether this certificate or this identity key must be refused. */
  isShutOut(held: { serial: string } | { deviceId: string; key: string }): boolean {
    if ('serial' in held) {
      const { revoked, supersededMs, deviceId } = this.#certificate(held.serial);
      return (
        revoked === 'yes' || supersededMs !== undefined || this.#devices.get(deviceId!)?.revoked === 'yes'
      );
    }
    return this.#devices.get(held.deviceId)?.revoked === 'yes' || this.#replacedKeys.get(held.key) === 'yes';
  }

  // The invariants.

  /** A connection or a call of this device was accepted. */
  accepted(deviceId: string, serial: string, daemonNowMs: number): void {
    const certificate = this.#certificate(serial);
    const device = this.#devices.get(deviceId);
    const who = `certificate ${serial} of device ${deviceId}`;
    if (certificate.deviceId !== deviceId || !device) this.fail(`${who} was accepted, and is not its own`);
    if (device.revoked === 'yes') this.fail(`${who} was accepted, though the device was revoked`);
    if (certificate.revoked === 'yes') this.fail(`${who} was accepted, though it was revoked`);
    if (certificate.forgotten) this.fail(`${who} was accepted, though the restored daemon cannot know it`);
    if (certificate.supersededMs !== undefined) this.fail(`${who} was accepted, though a later one was used`);
    if (daemonNowMs >= certificate.notAfterMs) this.fail(`${who} was accepted after its end`);
    certificate.usedMs ??= this.#agenda.nowMs;
    // This also holds if the previous certificate would have lived longer, because it ended with the use of this one.
    device.usedUntilMs = certificate.notAfterMs;
  }

  /** The holder of this identity key got a new certificate. */
  obtained(deviceId: string, identityKey: string): void {
    if (this.#replacedKeys.get(identityKey) === 'yes')
      this.fail(`device ${deviceId} obtained a certificate with an identity key that was replaced`);
    if (this.#devices.get(deviceId)?.revoked === 'yes')
      this.fail(`device ${deviceId} obtained a certificate, though it was revoked`);
  }

  connectionsEnd(
    open: Iterable<{ readonly serial: string; readonly notAfterMs: number }>,
    daemonNowMs: number,
  ): void {
    for (const { serial, notAfterMs } of open)
      if (daemonNowMs >= notAfterMs) this.fail(`a connection outlives its certificate ${serial}`);
  }

  /** Called right after a revocation. */
  noneOpen(open: Iterable<{ readonly serial: string }>): void {
    for (const { serial } of open) {
      const certificate = this.#certificate(serial);
      const device = certificate.deviceId && this.#devices.get(certificate.deviceId);
      if (certificate.revoked === 'yes' || (device && device.revoked === 'yes'))
        this.fail(`a connection of certificate ${serial} lives on after its revocation`);
    }
  }

  /** A device was refused although it was not shut out deliberately. The reason must be true. */
  refused({ code, message }: IdentityError, who: Refused): void {
    const known = this.#devices.get(who.deviceId);
    const certificate = this.#certificates.get(who.serial);
    if (!known || !certificate) this.fail(`device ${who.deviceId} came with what nobody gave it`);
    this.happened(`refused ${code}`, who.deviceId);
    if (this.#isTrue(code, who, known, certificate)) return;
    this.fail(
      `device ${who.deviceId} was refused with ${code}, which is not so (${message}): ${JSON.stringify({ who, known, certificate })}`,
    );
  }

  lists(lists: readonly ListOfAuthority[], daemonNowMs: number): void {
    for (const { issuerId, list, error } of lists) {
      if (!list || error) this.fail(`the revocation list of ${issuerId} cannot be made: ${error}`);
      const number = list.number;
      const der = Buffer.concat(list.der);
      const before = this.#listNumbers.get(issuerId);
      const isSame = before?.number === number && before.der.equals(der);
      if (before && !isSame && number <= before.number)
        this.fail(`revocation list ${number} of ${issuerId} follows number ${before.number}`);
      this.#listNumbers.set(issuerId, { number, der });
      const hex = der.toString('hex');
      for (const [serial, known] of this.#certificates) {
        if (known.issuerId !== issuerId || known.revoked !== 'yes') continue;
        // Programs whose clocks are behind still rely on it.
        if (known.notAfterMs + listedAtLeastMs <= daemonNowMs) continue;
        if (!known.lost && !hex.includes(serial))
          this.fail(
            `the revocation list of ${issuerId} does not have ${serial}: ${JSON.stringify(known)} ${JSON.stringify(this.#devices.get(known.deviceId ?? ''))}`,
          );
      }
    }
    this.happened('revocation lists made');
  }

  #isTrue(
    code: IdentityErrorCode,
    who: Refused,
    device: KnownDevice,
    certificate: KnownCertificate,
  ): boolean {
    const { nowMs } = this.#agenda;
    const keyReplaced = this.#replacedKeys.has(who.identityKey);
    switch (code) {
      case 'DEVICE_REVOKED':
        return device.revoked !== 'no';
      case 'CERTIFICATE_REVOKED':
        return certificate.revoked !== 'no';
      case 'CERTIFICATE_SUPERSEDED':
        return certificate.supersededMs !== undefined;
      case 'CERTIFICATE_EXPIRED':
        return who.daemonNowMs >= certificate.notAfterMs;
      case 'CERTIFICATE_UNKNOWN':
        return certificate.forgotten || !who.isOurs;
      case 'CERTIFICATE_NOT_YET_VALID':
        return nowMs - this.#clockSetBackMs < slackMs;
      case 'DEVICE_NOT_FOUND':
        // Or the operator named it to a restore that knew only its old key.
        return (
          device.forgotten || keyReplaced || (device.revoked !== 'no' && device.keyReplacedMs !== undefined)
        );
      case 'RECOVERY_NEEDS_APPROVAL':
        // It was away for too long, or its certificate was revoked (also by a replaced identity key), or a restore left
        // it without a certificate.
        return (
          this.#allOf(who.deviceId).every(({ forgotten }) => forgotten) ||
          nowMs - device.usedUntilMs > defaultPairingLimits.recoveryOfflineMs - slackMs ||
          this.#allOf(who.deviceId).some(({ revoked }) => revoked !== 'no')
        );
      case 'DAEMON_NOT_AUTHENTICATED':
        // A root rotation does not wait for devices that are shut out or forgotten.
        return device.leftBehind || device.forgotten || device.revoked !== 'no';
      case 'CLOCK_SKEW':
        return Math.abs(who.deviceNowMs - who.daemonNowMs) > minute;
      // The network, a daemon that is down or was restarted in between, or a limit. The allowed duration is checked elsewhere.
      case 'UNREACHABLE':
      case 'SESSION_NOT_FOUND':
      case 'TOO_MANY_REQUESTS':
        return true;
      default:
        return false;
    }
  }

  #takeSerial(serial: string): void {
    if (this.#serials.has(serial)) this.fail(`the serial ${serial} was issued twice`);
    this.#serials.add(serial);
  }

  #certificate(serial: string): KnownCertificate {
    return this.#certificates.get(serial) ?? this.fail(`nobody issued a certificate ${serial}`);
  }

  #setCertificates(deviceId: string, certainty: Certainty): void {
    for (const known of this.#allOf(deviceId)) if (known.revoked !== 'yes') known.revoked = certainty;
  }

  #allOf(deviceId: string): readonly KnownCertificate[] {
    return this.#ofDevice.get(deviceId) ?? [];
  }
}
