// The user's own capabilities: each executable in a folder, named after its file. JSON on stdin, JSON on stdout.

import { spawn } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { IdentityError } from '@palyra/identity/device';
import { checkTrusted } from '@palyra/identity/files';
import { type Capabilities, type Capability, MAX_OUTPUT_BYTES } from './capability.ts';
import { ProgramGroup } from './program-group.ts';

/** Why a file in the folder is no capability. */
export type SkipReason =
  | 'its name is not a valid capability name'
  | 'it is not a file'
  | 'it is not executable';

const maxErrorText = 400;
/** How long child processes may keep the output of a program open after its end, ms. */
const outputGraceMs = 100;

/**
 * @param environment the whole environment of the executables; give them PATH and HOME.
 * @param folder files that are not executable, or not named like a capability, are skipped.
 * @param onSkipped called for each skipped file, in the order of the names.
 * @throws STORE_PERMISSIONS if others could change the folder or one of its executables, which run as this user;
 *   NOTHING_FOUND if there is no folder.
 */
export async function folderCapabilities(
  folder: string,
  environment: NodeJS.ProcessEnv,
  onSkipped: (file: string, why: SkipReason) => void = () => {},
): Promise<Capabilities> {
  const capabilities = new Map<string, Capability>();
  if (!(await checkTrusted(folder, { kind: 'folder' })))
    throw new IdentityError('NOTHING_FOUND', `The folder of capabilities ${folder} does not exist.`);
  for (const file of (await readdir(folder)).sort()) {
    const path = join(folder, file);
    const skipped = await skipReason(path, file);
    if (skipped) {
      onSkipped(file, skipped);
      continue;
    }
    await checkTrusted(path);
    capabilities.set(file, async ({ input, signal }) => {
      // The permissions may have changed since.
      await checkTrusted(path);
      return runExecutable(path, environment, input, signal);
    });
  }
  return capabilities;
}

async function skipReason(path: string, file: string): Promise<SkipReason | undefined> {
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(file)) return 'its name is not a valid capability name';
  const stats = await stat(path);
  if (!stats.isFile()) return 'it is not a file';
  return (stats.mode & 0o111) === 0 ? 'it is not executable' : undefined;
}

function runExecutable(
  path: string,
  env: NodeJS.ProcessEnv,
  input: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const group = new ProgramGroup();
    const child = spawn(path, [], { stdio: ['pipe', 'pipe', 'pipe'], ...group.options(env) });
    // Registered first: if the system has no pipes left, there are no streams, but the error still arrives.
    child.once('error', reject);
    group.add(child);
    const output: Buffer[] = [];
    let bytes = 0;
    let errorText = '';
    const stop = () => group.stop();
    signal.addEventListener('abort', stop, { once: true });
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT_BYTES) stop();
      else output.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errorText = (errorText + chunk.toString()).slice(0, maxErrorText);
    });
    // A program does not have to read its input.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    let closing: NodeJS.Timeout | undefined;
    child.once('exit', () => {
      closing = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, outputGraceMs);
    });
    child.once('close', async (code, signalName) => {
      signal.removeEventListener('abort', stop);
      clearTimeout(closing);
      await group.end();
      if (bytes > MAX_OUTPUT_BYTES) {
        reject(
          new IdentityError(
            'CAPABILITY_OUTPUT_TOO_LARGE',
            `It returned more than ${MAX_OUTPUT_BYTES} bytes.`,
          ),
        );
      } else if (code !== 0) {
        reject(
          new Error(
            `it ended with ${signalName ?? `exit code ${code}`}${errorText && `: ${errorText.trim()}`}`,
          ),
        );
      } else if (!isJson(output)) {
        reject(new Error('its output is not JSON'));
      } else {
        resolve(Buffer.concat(output));
      }
    });
  });
}

function isJson(output: readonly Buffer[]): boolean {
  try {
    JSON.parse(Buffer.concat(output).toString());
    return true;
  } catch {
    return false;
  }
}
