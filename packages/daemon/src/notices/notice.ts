// Tells the operator elsewhere that a device waits, or may have been copied: a command, a webhook, or both. Off unless
// the configuration names one.
//
// The words are not in it: they are to be compared where the decision is made, and a notice may pass through many hands.

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
  /** Told when a notice could not be given. Holds neither the secret nor the address's query. */
  readonly onError: (error: unknown, where: string) => void;
}

const timeoutMs = 10_000;
/** Waits before a webhook is tried again. */
const retryMs = [1_000, 5_000];
/** Notices under way of one kind; more are dropped, because requests can be made to come in quickly. */
const maxAtOnce = 16;
const minSecretBytes = 24;
const maxSecretFileBytes = 4096;
/** Nothing of the daemon's own environment: it may name credentials. */
const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

export class Notice {
  readonly #options: NoticeOptions;
  readonly #secret: Buffer | undefined;
  readonly #end = new AbortController();
  /** By kind: many of one must not leave another out. */
  readonly #underWay = new Map<string, number>();

  /** @throws MESSAGE_INVALID when the webhook's secret cannot be used; STORE_PERMISSIONS about its file or the program. */
  static async open(options: NoticeOptions): Promise<Notice> {
    const { command, webhook } = options.config;
    // A name alone is looked for in `environment`, in the system's folders.
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

  /** Gives notice when the event is a new request or a possible copy. Never throws and never waits. */
  take(event: RegistryEvent): void {
    const told = describe(event);
    if (!told) return;
    const { command, webhook } = this.#options.config;
    const body = JSON.stringify({ type: told.type, daemon_id: this.#options.daemonId, ...told.facts });
    if (command) this.#give(told.type, 'the command of a notice', () => run(command, body, this.#end.signal));
    if (webhook) {
      this.#give(told.type, 'the webhook of a notice', () => this.#deliver(webhook.url, told.id, body));
    }
  }

  /** Ends what is under way. */
  close(): void {
    this.#end.abort();
  }

  #give(kind: string, what: string, give: () => Promise<void>): void {
    const { onError } = this.#options;
    const underWay = this.#underWay.get(kind) ?? 0;
    if (underWay >= maxAtOnce) {
      onError(
        new IdentityError(
          'RATE_LIMITED',
          `${maxAtOnce} notices of ${kind} are under way; this one is left out.`,
        ),
        what,
      );
      return;
    }
    this.#underWay.set(kind, underWay + 1);
    give()
      .catch((error) => {
        if (!this.#end.signal.aborted) onError(error, what);
      })
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

  /** Signed as Standard Webhooks are (standardwebhooks.com), so that any library of theirs can check it. */
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

/** What is said of an event, and an id by which a receiver knows a repetition; undefined where nothing is. */
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

/** Without a shell: what a device calls itself is data on stdin and can never become a command. */
function run([program, ...args]: readonly string[], body: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: environment,
      killSignal: 'SIGKILL',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    // First: where the system has no pipe left there is no stdin either, and the error still comes.
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
  if (bytes === undefined) throw invalid('is not there');
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
