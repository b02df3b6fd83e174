// Notifies the operator by a command, a webhook or both that a device waits for a decision or may have been copied. Off unless
// the configuration names a command or a webhook.
//
// A notice does not contain the words. The operator compares them where the decision is made, and a notice may pass through
// many hands.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { IdentityError } from '@palyra/identity';
import { checkTrusted, readTrusted } from '@palyra/identity/files';
import type { Pairing, RegistryEvent } from '@palyra/identity/registry';
import { reasonOf } from '@palyra/identity/values';
import type { DaemonConfig } from '../config.ts';
import { withSetting } from '../setting.ts';
import { post } from './webhook.ts';

type NoticeConfig = DaemonConfig['notice'];

export interface NoticeOptions {
  readonly config: NoticeConfig;
  /** Shown with the notice. */
  readonly daemonId: string;
  readonly now: () => Date;
  /** Called when a notice fails. The error contains neither the secret nor the query of the address. */
  readonly onError: (error: unknown, where: string) => void;
  /** Counts a notice that was delivered, or failed. */
  readonly onEnd?: (way: 'command' | 'webhook', isDelivered: boolean) => void;
}

const timeoutMs = 10_000;
/** Waits before a webhook is tried again. */
const retryMs = [1_000, 5_000];
/** Notices of one kind in progress. Further ones are dropped, because an attacker can make requests arrive quickly. */
const maxAtOnce = 16;
const minSecretBytes = 24;
const maxSecretFileBytes = 4096;
/** Does not include the daemon's own environment, which may contain credentials. */
const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

export class Notice {
  readonly #options: NoticeOptions;
  readonly #secret: Buffer | undefined;
  readonly #end = new AbortController();
  /** Counted by kind, so that a flood of one kind does not block another. */
  readonly #underWay = new Map<string, number>();

  /** @throws MESSAGE_INVALID if the webhook's secret is unusable; STORE_PERMISSIONS for its file or the program. */
  static async open(options: NoticeOptions): Promise<Notice> {
    const { command, webhook } = options.config;
    // A program without a path is looked up in the system folders of `environment`.
    const program = command?.[0];
    if (program?.includes('/')) await withSetting('notice.command', () => checkTrusted(program));
    const secret =
      webhook && (await withSetting('notice.webhook.secretFile', () => readSecret(webhook.secretFile)));
    return new Notice(options, secret);
  }

  private constructor(options: NoticeOptions, secret: Buffer | undefined) {
    this.#options = options;
    this.#secret = secret;
  }

  /** Sends a notice if the event is a new request or a possible copy. Never throws and never waits. */
  take(event: RegistryEvent): void {
    const told = describe(event);
    if (!told) return;
    const { command, webhook } = this.#options.config;
    const body = JSON.stringify({ type: told.type, daemon_id: this.#options.daemonId, ...told.facts });
    if (command) this.#give(told.type, 'command', () => run(command, body, this.#end.signal));
    if (webhook) {
      this.#give(told.type, 'webhook', () => this.#deliver(webhook.url, told.id, body));
    }
  }

  /** Cancels notices in progress. */
  close(): void {
    this.#end.abort();
  }

  #give(kind: string, way: 'command' | 'webhook', give: () => Promise<void>): void {
    const { onError, onEnd } = this.#options;
    const what = `the ${way} of a notice`;
    const underWay = this.#underWay.get(kind) ?? 0;
    if (underWay >= maxAtOnce) {
      onError(
        new IdentityError(
          'RATE_LIMITED',
          `${maxAtOnce} notices of ${kind} are already in progress; this one was dropped.`,
        ),
        what,
      );
      onEnd?.(way, false);
      return;
    }
    this.#underWay.set(kind, underWay + 1);
    give()
      .then(
        () => onEnd?.(way, true),
        (error) => {
          if (this.#end.signal.aborted) return;
          onError(error, what);
          onEnd?.(way, false);
        },
      )
      .finally(() => {
        this.#underWay.set(kind, this.#underWay.get(kind)! - 1);
      });
  }

  async #deliver(url: string, id: string, body: string): Promise<void> {
    for (const waitMs of [...retryMs, undefined]) {
      try {
        await this.#post(url, id, body);
        return;
      } catch (error) {
        if (waitMs === undefined || this.#end.signal.aborted) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    }
  }

  /** Signs as Standard Webhooks specifies (standardwebhooks.com), so that its libraries can verify the notice. */
  async #post(url: string, id: string, body: string): Promise<void> {
    const timestamp = Math.floor(this.#options.now().getTime() / 1000);
    const signature = createHmac('sha256', this.#secret!)
      .update(`${id}.${timestamp}.${body}`)
      .digest('base64');
    const status = await post(url, {
      body,
      signal: AbortSignal.any([this.#end.signal, AbortSignal.timeout(timeoutMs)]),
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${signature}`,
      },
    }).catch((cause) => {
      throw new IdentityError('UNREACHABLE', `The webhook at ${new URL(url).origin} does not answer.`, {
        cause,
      });
    });
    if (status >= 200 && status < 300) return;
    throw new IdentityError(
      'UNREACHABLE',
      `The webhook at ${new URL(url).origin} answered with status ${status}.`,
    );
  }
}

/** The facts of a notice, and an id by which a receiver recognizes a repetition. Undefined for events without a notice. */
function describe(event: RegistryEvent) {
  if (event.type === 'clone_suspected') {
    const { deviceId, name, serial, source, at, quarantined, sign } = event;
    return {
      id: `${serial}-${at.getTime()}`,
      type: 'device.clone_suspected',
      facts: { at: at.toISOString(), serial, source, quarantined, sign, device: { id: deviceId, name } },
    };
  }
  if (event.type === 'recovery_asked') {
    const { deviceId, name, reason, possibleCopy, source, at } = event;
    return {
      id: `${deviceId}-${at.getTime()}`,
      type: 'device.recovery_asked',
      facts: {
        at: at.toISOString(),
        reason,
        possible_copy: possibleCopy,
        source,
        device: { id: deviceId, name },
      },
    };
  }
  if (event.type !== 'pairing_changed' || event.pairing.state !== 'pending_approval') return undefined;
  return { id: event.pairing.id, type: 'pairing.requested', facts: requestOf(event.pairing) };
}

function requestOf(pairing: Extract<Pairing, { state: 'pending_approval' }>) {
  const { request } = pairing;
  return {
    request_id: pairing.id,
    expires_at: pairing.expiresAt.toISOString(),
    failed_guesses: request.failedGuesses,
    device: {
      id: request.deviceId,
      name: request.name,
      kind: request.kind,
      platform: request.platform,
      source: request.source,
      continuity: request.continuity,
    },
  };
}

/** Runs the program without a shell. The name that a device chose arrives on stdin and cannot become a command. */
function run([program, ...args]: readonly string[], body: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: environment,
      killSignal: 'SIGKILL',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    // Registered first: if the system has no pipe left, there is no stdin, and this event still reports the error.
    child.once('error', (cause) =>
      reject(
        new IdentityError('UNREACHABLE', `${program} cannot be started: ${reasonOf(cause)}.`, { cause }),
      ),
    );
    child.stdin.on('error', () => {});
    child.stdin.end(body);
    child.once('close', (code, ended) => {
      if (code === 0) resolve();
      else reject(new IdentityError('UNREACHABLE', `${program} ended with ${ended ?? `exit code ${code}`}.`));
    });
  });
}

async function readSecret(path: string): Promise<Buffer> {
  const invalid = (problem: string) =>
    new IdentityError('MESSAGE_INVALID', `notice.webhook.secretFile ${path} ${problem}.`);
  const bytes = await readTrusted(path, maxSecretFileBytes, { isSecret: true });
  if (bytes === undefined) throw invalid('does not exist');
  const secret = Buffer.from(
    new TextDecoder()
      .decode(bytes)
      .trim()
      .replace(/^whsec_/, ''),
    'base64',
  );
  if (secret.length >= minSecretBytes) return secret;
  throw invalid(
    `must hold at least ${minSecretBytes} random bytes in base64. Make it: openssl rand -base64 32`,
  );
}
