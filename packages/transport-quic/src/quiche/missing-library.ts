// Why the QUIC library does not load here, said so that a person can do something about it.

import { IdentityError } from '@palyra/identity';
import { installAgain } from '@palyra/identity/values';
import packageJson from '../../package.json' with { type: 'json' };

/** The one that was measured and guarded. Left out by programs that want HTTP/2 alone: it weighs 120 MB. */
const version = packageJson.peerDependencies['@currentspace/http3'];

/** What 0.9.0 brings a native part for, in the package itself. */
export const prebuilt: readonly string[] = ['darwin-arm64', 'linux-arm64-gnu', 'linux-x64-gnu'];

/** @param cause what the library threw: its own words, with the loader's errors as chain of causes. */
export function missingLibrary(name: string, cause: unknown, platform = thisPlatform()): IdentityError {
  const found = causesOf(cause).find(({ code }) => code === 'ERR_DLOPEN_FAILED');
  const again = installAgain(name, import.meta.filename, `npm install ${name}@${version}`);
  const what = found
    ? `is there but does not load on ${platform}: ${found.message.split('\n')[0]}. If it is damaged, get it again. ${again}`
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

/** In the words of the library's file names. */
function thisPlatform(): string {
  const { platform, arch } = process;
  return platform === 'linux' ? `linux-${arch}-${isGnu() ? 'gnu' : 'musl'}` : `${platform}-${arch}`;
}

function isGnu(): boolean {
  // Otherwise it asks the network for names; the types do not know the option yet.
  Object.assign(process.report, { excludeNetwork: true });
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime !== undefined;
}
