// Explains why the QUIC library does not load on this machine, and what a person can do about it.

import { IdentityError } from '@palyra/identity';
import { installAgain } from '@palyra/identity/values';
import packageJson from '../../package.json' with { type: 'json' };

/** The version that was measured and guarded. Programs that need only HTTP/2 leave it out, because it takes 120 MB. */
const version = packageJson.peerDependencies['@currentspace/http3'];

/** Platforms for which the package of 0.9.0 contains a native part. */
export const prebuilt: readonly string[] = ['darwin-arm64', 'linux-arm64-gnu', 'linux-x64-gnu'];

/** @param cause the library's error. Its chain of causes holds the loader's errors. */
export function missingLibrary(name: string, cause: unknown, platform = thisPlatform()): IdentityError {
  const found = causesOf(cause).find(({ code }) => code === 'ERR_DLOPEN_FAILED');
  const again = installAgain(name, import.meta.filename, `npm install ${name}@${version}`);
  const what = found
    ? `is installed but does not load on ${platform}: ${found.message.split('\n')[0]}. If it is damaged, reinstall it. ${again}`
    : prebuilt.includes(platform)
      ? `is not installed for ${platform}. ${again}`
      : `does not exist for ${platform}, only for ${prebuilt.join(', ')}.`;
  return new IdentityError('QUIC_UNAVAILABLE', `QUIC needs the native library of ${name}, which ${what}`, {
    cause,
  });
}

function causesOf(error: unknown): NodeJS.ErrnoException[] {
  const causes: NodeJS.ErrnoException[] = [];
  for (let each = error; each instanceof Error; each = each.cause) causes.push(each);
  return causes;
}

/** This platform, named as in the library's file names. */
function thisPlatform(): string {
  const { platform, arch } = process;
  return platform === 'linux' ? `linux-${arch}-${isGnu() ? 'gnu' : 'musl'}` : `${platform}-${arch}`;
}

function isGnu(): boolean {
  // Without this option the report looks up names on the network. The types lack the option.
  Object.assign(process.report, { excludeNetwork: true });
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime !== undefined;
}
