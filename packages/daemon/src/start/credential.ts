// The certificate that the daemon shows. It is issued at every start, and again when two thirds of its life are over or the
// authorities have changed. Every listener then presents the new one.

import { hash } from 'node:crypto';
import { hostname } from 'node:os';
import type { IdentityManager, ServerCredential } from '@palyra/identity';
import { isDnsName, renewalDueAt } from '@palyra/identity/certificate';
import { parseEndpoint } from '@palyra/identity/values';
import type { DaemonConfig } from '../config.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import type { Run } from './run.ts';
import type { Stores } from './stores.ts';

type Names = Parameters<IdentityManager['issueServerCredential']>[0];

export class DaemonCredential {
  readonly #identity: IdentityManager;
  readonly #names: Names;
  readonly #listeners: OpenListeners;
  readonly #run: Run;
  #current: ServerCredential;
  /** Fingerprints of this run's certificates that are still valid, with their ends. */
  readonly #shown = new Map<string, Date>();
  /** Some listeners may still present the previous certificate. */
  #isHalfPresented = false;
  #presenting = Promise.resolve();
  /** Called before a new certificate is shown, and after `fingerprints` has it. */
  beforeFirstUse: () => Promise<void> = async () => {};
  static async issue(
    { identity, config }: Pick<Stores, 'identity' | 'config'>,
    listeners: OpenListeners,
    run: Run,
  ): Promise<DaemonCredential> {
    const names = {
      dnsNames: credentialNames(config),
      ipAddresses: ['127.0.0.1', '::1', ...config.names.ip],
    };
    const first = await identity.issueServerCredential(names);
    return new DaemonCredential(identity, names, listeners, run, first);
  }

  private constructor(
    identity: IdentityManager,
    names: Names,
    listeners: OpenListeners,
    run: Run,
    first: ServerCredential,
  ) {
    this.#identity = identity;
    this.#names = names;
    this.#listeners = listeners;
    this.#run = run;
    this.#current = first;
    this.#remember(first);
  }
  get current(): ServerCredential {
    return this.#current;
  }

  /** SHA-256 of the certificates of this run that are still valid; connections may have begun with an earlier one. */
  get fingerprints(): string[] {
    const now = this.#run.clock.now();
    for (const [fingerprint, end] of this.#shown) if (end <= now) this.#shown.delete(fingerprint);
    return [...this.#shown.keys()];
  }

  /** Resolves when no replacement is in progress. Never rejects. */
  get settled(): Promise<void> {
    return this.#presenting;
  }

  async presentIfDue(): Promise<void> {
    const isDue = () => this.#isHalfPresented || needsReplacement(this.#current, this.#run.clock.now());
    if (isDue()) await this.present(isDue);
  }

  /** Issues and presents a new certificate, one at a time. HTTP/2 connections stay open. Devices on QUIC reconnect. */
  present(isWanted = () => true): Promise<void> {
    const presented = this.#presenting.then(() => (isWanted() ? this.#presentNew() : undefined));
    // Only this caller sees the failure. The next caller just waits for the end.
    this.#presenting = presented.catch(() => {});
    return presented;
  }

  async #presentNew(): Promise<void> {
    const { stopping } = this.#run;
    if (stopping.aborted) return;
    const made = await this.#identity.issueServerCredential(this.#names);
    // A signer may be slow, and the daemon may have begun to stop meanwhile.
    if (stopping.aborted) return;
    this.#remember(made);
    await this.beforeFirstUse();
    this.#current = made;
    // If the swap fails, the next tick tries again.
    this.#isHalfPresented = true;
    await this.#listeners.swapCredential(made, this.#identity.trustBundle);
    this.#isHalfPresented = false;
  }

  #remember({ certificateChain, notAfter }: ServerCredential): void {
    this.#shown.set(hash('sha256', certificateChain[0]!, 'hex'), notAfter);
  }
}
/** Also true before the certificate is valid: the clock was ahead when it was issued, and devices refuse it. */
function needsReplacement(credential: ServerCredential, now: Date): boolean {
  return now < credential.notBefore || now >= renewalDueAt(credential);
}

/** The machine's host name, the public host name and the configured names. Skips names that a certificate cannot hold. */
export function credentialNames({ endpoints, names }: DaemonConfig): string[] {
  const [shown] = endpoints.pairing.map((each) => parseEndpoint(each).host);
  const found = [hostname(), shown ?? ''].map((name) => name.toLowerCase());
  return [...new Set([...found.filter((name) => isDnsName(name) && name !== 'localhost'), ...names.dns])];
}
