// The check of every connection and every call, and the consequences of a connection.

import type { Clock } from '../clock.ts';
import type { DeviceId, Ulid } from '../device-id.ts';
import { hasCode, IdentityError } from '../errors.ts';
import { KnownStandings } from '../registry/known-standings.ts';
import type { CertificateStanding, Registry } from '../registry/port.ts';
import {
  judgeStanding,
  mustBeDaemon,
  revokedMessage,
  type StandingCode,
  standingMessages,
} from '../registry/standing.ts';
import type { CloneWatch } from './clones.ts';
import { endsChecks } from './consequences.ts';
import type { DeviceRole } from './device.ts';
import type { Fleet } from './fleet.ts';

/** An authenticated device. */
export interface AuthenticatedDevice {
  readonly deviceId: DeviceId;
  readonly name: string;
  readonly role: DeviceRole;
  /** Serial of the certificate that the device showed. */
  readonly serial: string;
  readonly notAfterMs: number;
  /** The renewal time of the certificate. */
  readonly renewAtMs: number | undefined;
  /** The certificate's issuing CA, as in the registry. */
  readonly issuerId: Ulid;
}

export interface AdmissionOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly fleet: Pick<Fleet, 'activate' | 'see'>;
  readonly clones: Pick<CloneWatch, 'sawReuse' | 'sawSecondAgent'>;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #standings: KnownStandings;
  #revocationEpoch = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#standings = new KnownStandings(options.registry);
    options.registry.enforce((event) => {
      if (endsChecks[event.type]) this.#revocationEpoch += 1;
    });
  }

  get revocationEpoch(): number {
    return this.#revocationEpoch;
  }

  /** @throws the codes of `judgeStanding`. */
  async authenticate(fingerprint: string): Promise<AuthenticatedDevice> {
    const upToDate = this.#options.registry.upToDate();
    if (upToDate) await upToDate;
    const standing = this.#standings.known(fingerprint) ?? (await this.#standings.read(fingerprint));
    const verdict = judgeStanding(standing, this.#options.clock.now().getTime());
    if (!verdict.ok) throw await this.#refusal(verdict.code, standing);
    return verdict;
  }

  /** @throws the codes of `judgeStanding`. */
  async admit(fingerprint: string, source: string): Promise<AuthenticatedDevice> {
    const { clock, fleet, clones, registry } = this.#options;
    const standing = await this.#standings.read(fingerprint);
    const verdict = judgeStanding(standing, clock.now().getTime());
    if (standing && !verdict.ok && verdict.code === 'CERTIFICATE_SUPERSEDED')
      await unlessFull(clones.sawReuse(standing, source));
    if (!verdict.ok) {
      // What a device was told is remembered, even if the database loses it.
      await registry.upToDate();
      throw await this.#refusal(verdict.code, standing);
    }
    if (verdict.firstUse) await fleet.activate(verdict.deviceId, verdict.serial);
    else await unlessFull(fleet.see(verdict.deviceId));
    return verdict;
  }

  /** Another daemon of this authority. @throws the codes of `mustBeDaemon`. */
  async authenticateDaemon(fingerprint: string): Promise<void> {
    const { registry, clock } = this.#options;
    await registry.upToDate();
    mustBeDaemon(await this.#standings.read(fingerprint), clock.now().getTime());
  }

  /** Only a refused device costs this read, and only a revoked one. */
  async #refusal(code: StandingCode, standing: CertificateStanding | undefined): Promise<IdentityError> {
    const device =
      code === 'DEVICE_REVOKED' && standing
        ? await this.#options.registry.device(standing.subjectId as DeviceId)
        : undefined;
    return new IdentityError(
      code,
      device?.state === 'revoked' ? revokedMessage(device.revocationReason) : standingMessages[code],
    );
  }

  async sawSecondAgent(caller: AuthenticatedDevice, source: string): Promise<void> {
    await unlessFull(this.#options.clones.sawSecondAgent(caller, source));
  }
}

/** A full disk keeps no device out and hides no refusal: the changes that matter report it. */
async function unlessFull(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!hasCode(error, 'STORE_FULL')) throw error;
  }
}
