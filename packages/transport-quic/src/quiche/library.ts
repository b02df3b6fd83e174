// The only file that loads @currentspace/http3, because the code here must run before the library is loaded.
//
// Only the environment of the process controls two of the library's habits, both measured on 0.9.0:
// - The `ca` option adds to the system's trust store, so any certificate authority of the system could vouch for a
//   daemon or a device. We point SSL_CERT_FILE and SSL_CERT_DIR at an empty file and an empty folder.
// - The library writes the private key and the trusted roots to TMPDIR and reads them back. It uses a name that anyone can guess,
//   makes the files readable by everyone, and follows links. While it does so, we set TMPDIR to a private folder.
// The library reads these variables again for every listener and every connection, so we check them each time.

import { lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type { IdentityError } from '@palyra/identity';
import { guardLibrary } from './guard.ts';
import { missingLibrary } from './missing-library.ts';
import { makePrivateFolder } from './private-folder.ts';

type Library = typeof import('@currentspace/http3');

const name = '@currentspace/http3';
const require = createRequire(import.meta.url);

interface Sandbox {
  readonly root: string;
  readonly noFile: string;
  readonly noFolder: string;
  /** The folder for the library's files. */
  readonly scratch: string;
}

let library: Library | undefined;
/** Why loading failed. Permanent for this process, because half of the library is loaded and cannot be loaded again. */
let missing: IdentityError | undefined;
let sandbox: Sandbox | undefined;
/** The previous values of the two variables, for child processes. */
let systemTrust: { SSL_CERT_FILE: string | undefined; SSL_CERT_DIR: string | undefined } | undefined;

/**
 * Loads the library with an empty system trust store.
 *
 * @throws QUIC_UNAVAILABLE when the library is not installed or not made for this machine.
 * @throws TypeError in a worker thread, whose environment the library does not see; when other code loaded the
 * library first; and when other code has changed the variables since.
 * @internal The packages' declarations do not name the library, because a program may leave it out.
 */
export function loadLibrary(): Library {
  if (!isMainThread) throw new TypeError('QUIC runs in the main thread only');
  if (missing) throw missing;
  if (!library) {
    if (Object.keys(require.cache).some((file) => file.includes(join('node_modules', name)))) {
      throw new TypeError(`${name} was loaded before its trust store could be emptied`);
    }
    systemTrust = { SSL_CERT_FILE: process.env.SSL_CERT_FILE, SSL_CERT_DIR: process.env.SSL_CERT_DIR };
    enterSandbox();
    const loaded = loadWithNativePart();
    process.once('exit', leaveSandbox);
    guardLibrary(loaded);
    library = loaded;
  } else if (
    process.env.SSL_CERT_FILE !== sandbox?.noFile ||
    process.env.SSL_CERT_DIR !== sandbox?.noFolder
  ) {
    throw new TypeError('SSL_CERT_FILE or SSL_CERT_DIR was changed; QUIC would trust the system');
  } else if (!isIntact(sandbox!)) {
    // A cleaner of temporary files has removed the store, and anyone could have replaced it.
    enterSandbox();
  }
  return library;
}

/** Why QUIC cannot run on this machine; undefined when it can. Loads the library. */
export function quicProblem(): IdentityError | undefined {
  try {
    loadLibrary();
  } catch (error) {
    if (error !== missing) throw error;
  }
  return missing;
}

/** Loads the native part now. By itself the library looks for it only at the first listener or connection. @throws QUIC_UNAVAILABLE */
function loadWithNativePart(): Library {
  try {
    const loaded = require(name) as Library;
    binding();
    return loaded;
  } catch (cause) {
    leaveSandbox();
    Object.assign(process.env, systemTrust);
    for (const [key, value] of Object.entries(systemTrust!)) if (value === undefined) delete process.env[key];
    missing = missingLibrary(name, cause);
    throw missing;
  }
}

/** The library exports this function only from a separate file. */
function binding(): { runtimeTelemetry: () => Record<string, number> } {
  return require(join(dirname(require.resolve(name)), 'event-loop.js')).getBinding();
}

/** Incoming QUIC traffic since the start of this process. No other counter shows the packets of a flood. */
export interface QuicTraffic {
  readonly datagrams: number;
  /** Handshakes begun by clients with a verified address. */
  readonly handshakes: number;
}

export function quicTraffic(): QuicTraffic {
  if (!library) return { datagrams: 0, handshakes: 0 };
  const numbers = binding().runtimeTelemetry();
  const sum = (...names: string[]) => names.reduce((all, each) => all + (numbers[each] ?? Number.NaN), 0);
  return {
    datagrams: sum('ecnRecvNotEctTotal', 'ecnRecvEct0Total', 'ecnRecvEct1Total', 'ecnRecvCeTotal'),
    handshakes: sum('rawQuicServerSessionsOpened'),
  };
}

/**
 * Runs `start`, which makes the library write its files. TMPDIR is private while `start` runs and, for a connection, until
 * `written` is called.
 */
export function withScratchFolder<T>(start: (written: () => void) => T): T {
  enter();
  let left = false;
  const leave = () => {
    if (!left) exit();
    left = true;
  };
  try {
    return start(leave);
  } catch (error) {
    leave();
    throw error;
  }
}

/** The environment a child process should get: the system's trust store instead of the empty one. */
export function environmentForChildren(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...systemTrust };
  if (inside > 0) env.TMPDIR = outside;
  for (const [key, value] of Object.entries(env)) if (value === undefined) delete env[key];
  return env;
}

function enterSandbox(): void {
  leaveSandbox();
  sandbox = makeSandbox();
  process.env.SSL_CERT_FILE = sandbox.noFile;
  process.env.SSL_CERT_DIR = sandbox.noFolder;
}

function leaveSandbox(): void {
  if (sandbox) rmSync(sandbox.root, { recursive: true, force: true });
}

function makeSandbox(): Sandbox {
  const root = makePrivateFolder();
  const made = {
    root,
    noFile: join(root, 'no-certificates.pem'),
    noFolder: join(root, 'no-certificates'),
    scratch: join(root, 'scratch'),
  };
  writeFileSync(made.noFile, '', { mode: 0o400, flag: 'wx' });
  mkdirSync(made.noFolder, { mode: 0o500 });
  mkdirSync(made.scratch, { mode: 0o700 });
  return made;
}

function isIntact({ root, noFile, noFolder, scratch }: Sandbox): boolean {
  try {
    const folder = lstatSync(root);
    const file = lstatSync(noFile);
    return (
      folder.isDirectory() &&
      (folder.mode & 0o077) === 0 &&
      folder.uid === (process.getuid?.() ?? folder.uid) &&
      file.isFile() &&
      file.size === 0 &&
      readdirSync(noFolder).length === 0 &&
      lstatSync(scratch).isDirectory()
    );
  } catch {
    // An unreadable store counts as changed, and the caller refuses to continue.
    return false;
  }
}

// Dials overlap, so the first dial sets TMPDIR and the last one restores it.
let inside = 0;
let outside: string | undefined;

function enter(): void {
  if (inside++ > 0) return;
  outside = process.env.TMPDIR;
  process.env.TMPDIR = sandbox!.scratch;
}

function exit(): void {
  if (--inside > 0) return;
  if (outside === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = outside;
}
