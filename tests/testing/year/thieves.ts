// Thieves with copies of former device data, none of which may be accepted any more.

import { IdentityError, MemorySecretStore } from '@palyra/identity';
import {
  type DeviceIdentity,
  type PairedEnrollment,
  type PairingDevice,
  recoverCertificate,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { NodeService } from '@palyra/rpc';
import { type Random, seededCrypto } from '../random.ts';
import type { Agenda } from './agenda.ts';
import { peerCertificate } from './chain.ts';
import type { Authority } from './daemon.ts';
import type { Invariants } from './invariants.ts';

const day = 24 * 3_600_000;
const mostBooty = 60;
export const thiefSource = '203.0.113.66';

export interface Stolen {
  readonly identity: DeviceIdentity;
  readonly enrollment: PairedEnrollment;
}

export class Thieves {
  readonly #agenda: Agenda;
  readonly #daemon: Authority;
  readonly #invariants: Invariants;
  readonly #random: Random;
  readonly #crypto: ReturnType<typeof seededCrypto>;
  #booty: Stolen[] = [];

  constructor(options: { agenda: Agenda; daemon: Authority; invariants: Invariants; random: Random }) {
    this.#agenda = options.agenda;
    this.#daemon = options.daemon;
    this.#invariants = options.invariants;
    this.#random = options.random;
    this.#crypto = seededCrypto(options.random.fork());
  }

  take(stolen: Stolen): void {
    this.#booty.push(stolen);
    if (this.#booty.length > mostBooty) this.#booty.splice(this.#random.below(mostBooty), 1);
  }

  begin(): void {
    this.#agenda.after(this.#random.exponential(day), async () => {
      if (this.#booty.length > 0) await this.#use(this.#random.pick(this.#booty));
      this.begin();
    });
  }

  async useAll(): Promise<void> {
    for (const each of this.#booty) await this.#use(each);
  }

  /** Tries every way in. `Invariants` decides who may be let in. */
  async #use({ identity, enrollment }: Stolen): Promise<void> {
    const { serial } = peerCertificate(enrollment.certificateChain[0]!);
    const device = { identity, secrets: new MemorySecretStore(), clock: this.#agenda };
    const key = Buffer.from(identity.publicKey).toString('hex');
    if (this.#invariants.isShutOut({ serial })) {
      await this.#refused(async () => {
        const connection = await this.#daemon.accept(enrollment.certificateChain, thiefSource, () => {});
        await renewCertificate(device, enrollment, (proof) =>
          connection.call(NodeService.method.renew, (caller, { renewals }) => renewals.renew(caller, proof)),
        );
      });
    }
    if (this.#invariants.isShutOut({ deviceId: identity.id, key })) {
      await this.#refused(() =>
        recoverCertificate(device, enrollment, this.#daemon.pairingPeer(thiefSource)),
      );
      await this.#refused(() => this.#pairByItself(identity));
    }
  }

  /** With an auto-approve code, which approves new devices and asks about all others. */
  async #pairByItself(identity: DeviceIdentity): Promise<void> {
    const { id: pairingId, code } = await this.#daemon.operate(async ({ desk }) => {
      const minted = await desk.mint({ kind: 'typed', address: 'x:1', autoApprove: true });
      return { id: minted.pairing.id, code: minted.code };
    });
    const device: PairingDevice = {
      identity,
      secrets: new MemorySecretStore(),
      crypto: this.#crypto,
      clock: this.#agenda,
      kind: 'node',
      name: 'thief',
      platform: 'linux x64',
    };
    await requestPairing(
      device,
      this.#daemon.pairingPeer(thiefSource),
      parsePairingCode(code),
      'daemon.example:7443',
    );
    const pairing = await this.#daemon.operate(({ registry }) => registry.pairing(pairingId));
    if (pairing?.state === 'pending_approval')
      throw new IdentityError('PAIRING_REJECTED', 'The operator is asked, and knows nothing of it.');
  }

  async #refused(attempt: () => Promise<unknown>): Promise<void> {
    try {
      await attempt();
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      this.#invariants.happened(`thief refused ${error.code}`);
      return;
    }
    this.#invariants.fail('a thief was let in');
  }
}
