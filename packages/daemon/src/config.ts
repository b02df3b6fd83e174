// The daemon's configuration: every field has a default, so a home without a config.json is complete.

import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { IdentityError } from '@palyra/identity';
import { isDnsName, MAX_DAEMON_NAMES, parseTrustDomain } from '@palyra/identity/certificate';
import { readTrusted } from '@palyra/identity/files';
import { isLabel, maxLabels } from '@palyra/identity/registry';
import {
  defaultPairingLimits,
  MAX_ENDPOINTS,
  parseSharedEndpoint,
  parseWebEndpoint,
  reasonOf,
} from '@palyra/identity/values';
import { resolveStreamLimits } from '@palyra/rpc/portable';
import { defaultHttp2Limits } from '@palyra/rpc/transport';
import { z } from 'zod';
import { logLevels } from './start/log-levels.ts';

/** The listeners' own limits are the defaults of the settings. */
const quicLimits = resolveStreamLimits();

const port = z.number().int().min(0).max(65535);
const positive = z.number().int().positive();
/** A life whose end is always a valid date. */
const lifeMs = positive.max(100 * 365 * 86_400_000);
/** Node fires longer timers at once. */
const timerMs = positive.max(2 ** 31 - 1);
const maxPathLength = 4096;
const backupEveryMs = 24 * 60 * 60_000;
const host = z.string().min(1);
const dnsName = z.string().refine((text) => isDnsName(text.toLowerCase()), 'is not a DNS name');
const ipAddress = z.string().refine((text) => isIP(text) !== 0, 'is not an IP address');
/** In addition to the machine's own name, that of the first pairing endpoint, and the loopback addresses. */
const maxNames = MAX_DAEMON_NAMES - 4;
const endpointsBy = (parse: (text: string) => string) =>
  z
    .array(
      z.string().transform((text, context) => {
        try {
          return parse(text);
        } catch (error) {
          context.addIssue(`is not an endpoint. ${reasonOf(error)}`);
          return z.NEVER;
        }
      }),
    )
    .max(MAX_ENDPOINTS)
    .default([]);
const endpoints = endpointsBy(parseSharedEndpoint);
/** The origin of a page or an extension, as browsers write it. `null` stands for everything without an origin. */
const origin = z
  .string()
  .refine(
    (text) =>
      /^https?:\/\/./.test(text)
        ? URL.parse(text)?.origin === text
        : /^(?:chrome-extension:\/\/[a-p]{32}|moz-extension:\/\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.test(
            text,
          ),
    'is not an origin: https://HOST, chrome-extension://ID or moz-extension://UUID',
  );
const absolutePath = z.string().max(maxPathLength).refine(isAbsolute, 'must be an absolute path');

const labels = z
  .array(z.string().refine(isLabel, 'is not a label: a word like kitchen, or two like site=berlin'))
  .max(maxLabels);
const maxCapabilityRules = 256;
/** Names in one rule. */
const maxRuleNames = 256;
const capabilityRule = z
  .strictObject({
    /** Names of capabilities; `system.*` stands for all that begin so, `*` for all. */
    run: z
      .array(
        z
          .string()
          .max(256)
          .regex(/^(?:[^*\s][^*]*)?\*?$/, 'is not a name with at most one * at its end')
          .min(1),
      )
      .min(1)
      .max(maxRuleNames),
    /** `local`: this machine. `operator`: a device with the operator role. Default: both. */
    role: z.enum(['local', 'operator']).optional(),
    /** The calling device has all of them. */
    callerLabels: labels.optional(),
    /** The device on which it runs has all of them. */
    deviceLabels: labels.optional(),
  })
  .refine(
    ({ role, callerLabels = [] }) => role === 'operator' || callerLabels.length === 0,
    'has callerLabels without the role operator: only devices have labels',
  );

export const configSchema = z.strictObject({
  /** Only read at the first start. Default: `palyra-<10 base32 characters>.internal`. */
  trustDomain: z.string().refine(isTrustDomain, 'is not a trust domain: a DNS name in lower case').optional(),
  /** The listener that unpaired devices reach. Default: every interface, port 7443. */
  pairing: z
    .strictObject({
      /** Default: every interface. */
      host: host.default('::'),
      /** TCP port; 0 takes a free one. Default 7443. */
      port: port.default(7443),
    })
    .prefault({}),
  /** The node services over QUIC (UDP). */
  quic: z
    .strictObject({
      /** Default: true. */
      enabled: z.boolean().default(true),
      /** Default: the node listener's. */
      host: host.optional(),
      /** Default: the number of the node listener's port. */
      port: port.optional(),
      /** `fast` is io_uring, where the kernel allows it. */
      runtime: z.enum(['portable', 'fast']).default('portable'),
    })
    .prefault({}),
  /** The node services over HTTP/2 (TCP). Default: every interface, port 7444. */
  node: z.strictObject({ host: host.default('::'), port: port.default(7444) }).prefault({}),
  /** Prometheus metrics over plain HTTP; off unless a port is given. Only loopback addresses are allowed. */
  metrics: z
    .strictObject({ host: z.enum(['127.0.0.1', '::1']).default('127.0.0.1'), port: port.optional() })
    .prefault({}),
  /** Revocation lists and the trust bundle over plain HTTP, for other programs; off unless a port is given. */
  publish: z.strictObject({ host: host.default('127.0.0.1'), port: port.optional() }).prefault({}),
  /** The operator's web page, at http://localhost; from elsewhere, forward the port with ssh. */
  console: z
    .strictObject({
      /** Default: true. */
      enabled: z.boolean().default(true),
      /** Default: 7445, or any free port when that is taken: the login link names it. */
      port: port.optional(),
    })
    .prefault({}),
  /** Channels over WebSockets, for browsers and through proxies (docs/channel.md); off unless a port is given. */
  web: z
    .strictObject({
      /** Default: 127.0.0.1. */
      host: host.default('127.0.0.1'),
      /** TCP port; 0 takes a free one. Default: none, and no listener. */
      port: port.optional(),
      /** Default: /channel. */
      path: z
        .string()
        .max(256)
        .regex(/^(?:\/[A-Za-z0-9._~-]+)+$/, 'is not a path like /channel')
        .default('/channel'),
      /** Origins of pages and extensions that may open a channel. Default: none. */
      origins: z.array(origin).max(64).default([]),
      /** Addresses of reverse proxies, whose X-Forwarded-For is believed. Default: none. */
      proxies: z.array(ipAddress).max(64).default([]),
    })
    .prefault({}),
  /** Notifies a program or URL that a device waits; off by default. The notice is JSON, on stdin or as the body. */
  notice: z
    .strictObject({
      /** Program and arguments; no shell. */
      command: z.array(z.string().min(1)).min(1).optional(),
      /** Signed with the secret in the file, base64: Standard Webhooks. */
      webhook: z.strictObject({ url: z.url({ protocol: /^https?$/ }), secretFile: z.string() }).optional(),
    })
    .prefault({}),
  /**
   * The listeners as devices reach them, in the order in which they are tried; host:port. The first one of pairing is
   * shown with codes and goes into QR codes (default: an address of this machine). Those of `web` are URLs:
   * wss://host/path.
   */
  endpoints: z
    .strictObject({
      /** host:port of the pairing listener. */
      pairing: endpoints,
      /** host:port of the node listener. */
      node: endpoints,
      /** host:port of the QUIC listener. */
      quic: endpoints,
      /** URLs of channels. */
      web: endpointsBy(parseWebEndpoint),
    })
    .prefault({}),
  /** Whether devices on the local network can find this daemon without its address. */
  announce: z.boolean().default(true),
  /** More names for the daemon's certificate. */
  names: z
    .strictObject({ dns: z.array(dnsName).default([]), ip: z.array(ipAddress).default([]) })
    .refine(
      ({ dns, ip }) => dns.length + ip.length <= maxNames,
      `has more than ${maxNames} names and addresses`,
    )
    .prefault({}),
  /**
   * Where devices, certificates and the audit are kept. Default: a file in the home. With `postgres`, several daemons
   * share one database, which holds the sealed secrets too (docs/fleet.md).
   */
  registry: z
    .discriminatedUnion('from', [
      z.strictObject({ from: z.literal('file') }),
      z.strictObject({
        from: z.literal('postgres'),
        /** A file with the URL, one line; only its owner and group may read it. */
        urlFile: absolutePath,
        /** False behind a pooler, which takes no LISTEN: changes of other daemons are looked for every 250 ms. */
        listen: z.boolean().default(true),
      }),
    ])
    .prefault({ from: 'file' }),
  /** Where the master key of the secret store comes from. Default: a key file in the home, made at the first start. */
  masterKey: z
    .discriminatedUnion('from', [
      z.strictObject({ from: z.literal('key-file'), path: z.string().optional() }),
      z.strictObject({ from: z.literal('passphrase-file'), path: z.string() }),
      z.strictObject({ from: z.literal('credential'), path: z.string() }),
    ])
    .prefault({ from: 'key-file' }),
  /** Who may run which capability (docs/operations.md). Default: every operator may run every one. */
  capabilities: z
    .strictObject({
      /** With one rule, a run is refused unless a rule allows it. */
      rules: z.array(capabilityRule).min(1).max(maxCapabilityRules).optional(),
    })
    .prefault({}),
  /** Backups that the daemon makes by itself. Default: none. */
  backup: z
    .strictObject({
      /** Must exist. */
      folder: absolutePath,
      /** The passphrase, one line; only the daemon's user may read it. Either this or `recipients`. */
      passphraseFile: absolutePath.optional(),
      /** age recipients: age1... */
      recipients: z
        .array(z.string().regex(/^age1[0-9a-z]{20,3000}$/, 'is not an age recipient: age1...'))
        .min(1)
        .max(20)
        .optional(),
      /** Number of backups in the folder. Default: 7. */
      keep: positive.max(1_000).default(7),
      /** Time between two backups, ms. Default: a day. */
      everyMs: timerMs.min(60_000).default(backupEveryMs),
    })
    .refine(
      ({ passphraseFile, recipients }) => (passphraseFile === undefined) !== (recipients === undefined),
      'needs either passphraseFile or recipients',
    )
    .optional(),
  /** The log as JSON lines, from this level on. Default: no such log. */
  log: z.strictObject({ level: z.enum(logLevels).default('info') }).optional(),
  /** Traces for OpenTelemetry. Default: none. */
  traces: z
    .strictObject({
      /** Of the receiver, over HTTP: http://127.0.0.1:4318/v1/traces */
      url: z.url({ protocol: /^https?$/ }),
      /** The part of the calls that are traced, unless their caller has decided. Default: all of them. */
      ratio: z.number().min(0).max(1).default(1),
    })
    .optional(),
  /** A device that may have been copied is reported, or also quarantined until the operator releases it. */
  cloning: z.enum(['report', 'quarantine']).default('report'),
  /** A PKCS #11 token that makes and keeps the CA's keys. Default: the secret store. Fixed by the first start. */
  caKey: z
    .strictObject({
      /** The vendor's library. */
      module: absolutePath,
      /** The token's label. */
      token: z.string().min(1).max(32),
      /** The user PIN, one line; only its owner and group may read it. */
      pinFile: absolutePath,
      /** Serial number of the token that has the keys now, if they were restored into another one. */
      serial: z.string().min(1).max(16).optional(),
    })
    .optional(),
  /** See docs/limits.md. */
  limits: z
    .strictObject({
      /** Guesses per code. Default 3. */
      guessesPerCode: positive.max(3).optional(),
      /** Default life of a code, ms. Default: 10 minutes. */
      codeLifeMs: positive
        .min(defaultPairingLimits.codeLifeMinMs)
        .max(defaultPairingLimits.codeLifeMaxMs)
        .optional(),
      /** There are 1000 typed slots; with half of them free, a new code finds one at once. */
      liveCodes: positive.max(500).optional(),
      /** Life of a handshake session, from Open to Confirm, ms. Default: 2 minutes. */
      sessionLifeMs: lifeMs.optional(),
      /** Handshake sessions at one time. Default 256. */
      sessions: positive.optional(),
      /** Requests that wait for the operator at one time. Default 256. */
      pendingRequests: positive.optional(),
      /** How long a request waits for the operator, ms. Default: an hour. */
      requestLifeMs: lifeMs.optional(),
      /** How long an approved device may take to fetch its certificate, ms. Default: a day. */
      collectLifeMs: lifeMs.optional(),
      /** Unused certificates of one device. Default 8. */
      unusedCertificates: positive.optional(),
      /** 0: the operator is asked each time. */
      recoveryOfflineMs: z.union([z.literal(0), lifeMs]).optional(),
      /** Recoveries of one device in 30 days, not counting those that the operator released. Default 100. */
      recoveries: z.number().int().min(0).optional(),
      /** How long an operator's release for a recovery is valid, ms. Default: a day. */
      recoveryReleaseMs: lifeMs.optional(),
      /** How long after its replacement a certificate may still be used without a report, ms. Default: a minute. */
      supersededGraceMs: lifeMs.optional(),
      /** Shortest time between two reports that one device may have been copied, ms. Default: a day. */
      cloneReportMs: lifeMs.optional(),
      deviceCertificateLifeMs: z
        .number()
        .int()
        .min(60_000)
        .max(30 * 86_400_000)
        .optional(),
      /** Handshakes from one source address in a minute. */
      opensPerMinutePerSource: positive.default(10),
      /** Handshakes from all addresses in a minute. */
      opensPerMinute: positive.default(600),
      /** Connections of the pairing listener at one time. */
      pairingConnections: positive.default(1_000),
      /** Connections of the HTTP/2 node listener at one time. */
      nodeConnections: positive.default(defaultHttp2Limits.connections),
      /** QUIC connections at one time. The library checks all of them for every event (docs/quic.md, section 5). */
      quicConnections: positive.default(quicLimits.maxConnections),
      /** Channels over WebSockets at one time, for devices; as many for strangers. */
      webConnections: positive.default(1_000),
      /** Connections from one source address without a known device. */
      strangersPerSource: positive.default(defaultHttp2Limits.strangersPerSource),
      /** How long a stranger's connection may be idle, ms. */
      strangerIdleMs: timerMs.default(defaultHttp2Limits.strangerIdleMs),
      /** How long a TLS handshake may take, ms. */
      handshakeTimeoutMs: timerMs.default(defaultHttp2Limits.handshakeTimeoutMs),
      /** How long a QUIC connection may be silent, ms. */
      quicIdleTimeoutMs: timerMs.default(quicLimits.idleTimeoutMs),
      /** How long a channel over WebSockets may be silent, ms. */
      webIdleTimeoutMs: timerMs.default(60_000),
      /** A service manager kills the daemon some time after the longest value. */
      stopGraceMs: positive.max(60_000).default(10_000),
    })
    .prefault({}),
});

export type DaemonConfig = z.infer<typeof configSchema>;
export type DaemonConfigInput = z.input<typeof configSchema>;

/** @throws MESSAGE_INVALID naming the field. */
export function parseConfig(input: unknown, where: string): DaemonConfig {
  const parsed = configSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => `${[...issue.path, key].join('.')}: there is no such setting`)
      : [...(issue.path.length > 0 ? [issue.path.join('.')] : []), issue.message].join(': '),
  );
  throw new IdentityError('MESSAGE_INVALID', [`${where} cannot be used.`, ...lines].join('\n  '));
}

/** The configuration without its invalid fields, whose intended values are unknown. */
export function readablePart(input: unknown): DaemonConfig | undefined {
  const rest = structuredClone(input);
  for (;;) {
    const { success, data, error } = configSchema.safeParse(rest);
    if (success) return data;
    // Removed one at a time, because a removed field may be the cause of the next error.
    const issue = error.issues[0];
    if (!issue || !removeIssue(rest, issue)) return undefined;
  }
}

function removeIssue(rest: unknown, issue: z.core.$ZodIssue): boolean {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => removeAt(rest, [...issue.path, key])).every(Boolean);
  // A list is removed as a whole.
  const inList = issue.path.findIndex((key) => typeof key === 'number');
  return removeAt(rest, inList < 0 ? issue.path : issue.path.slice(0, inList));
}

/** Removes the value at the path, or the part that lacks it. @returns false if there was nothing to remove. */
function removeAt(value: unknown, path: readonly PropertyKey[]): boolean {
  const [key, ...rest] = path;
  if (key === undefined || typeof value !== 'object' || value === null || !Object.hasOwn(value, key))
    return false;
  const inside = value as Record<PropertyKey, unknown>;
  return (rest.length > 0 && removeAt(inside[key], rest)) || delete inside[key];
}

/**
 * Reads the configuration; without a file, the defaults. It may name programs to run, so nobody else may change it.
 * @param options.mustExist set if somebody has named the file.
 * @throws MESSAGE_INVALID, STORE_PERMISSIONS, STORE_FAILED
 */
export async function readConfig(path: string, options: ReadOptions = {}): Promise<DaemonConfig> {
  return parseConfig(await readConfigInput(path, options), path);
}

interface ReadOptions {
  readonly mustExist?: boolean;
}

/** The contents of the file, unchecked and without defaults; `{}` without a file. @throws as `readConfig` */
export async function readConfigInput(
  path: string,
  { mustExist = false }: ReadOptions = {},
): Promise<unknown> {
  const bytes = await readTrusted(path, maxConfigBytes + 1);
  if (bytes === undefined) {
    if (!mustExist) return {};
    throw new IdentityError('MESSAGE_INVALID', `The configuration ${path} does not exist.`, {
      about: 'configuration',
    });
  }
  const unusable = (why: string, cause?: unknown) =>
    new IdentityError('MESSAGE_INVALID', `${path} cannot be used: ${why}.`, { cause });
  if (bytes.length > maxConfigBytes) throw unusable('it is too long');
  let text: string;
  try {
    // Drops the byte order mark that some editors write.
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw unusable('it is not UTF-8 text. Save it in that encoding', cause);
  }
  if (text.trim() === '') throw unusable('it is empty. For the defaults, write {} or remove the file');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unusable(reasonOf(cause), cause);
  }
}

const maxConfigBytes = 1024 * 1024;

function isTrustDomain(text: string): boolean {
  try {
    parseTrustDomain(text);
    return true;
  } catch {
    return false;
  }
}
