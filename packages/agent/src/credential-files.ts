// The device's certificate as files for other programs: nginx, PostgreSQL, curl. Each file is replaced whole, the key
// only its owner can read, and the certificate last, so that who watches it finds the key there.

import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { certificatesToPem, type PairedEnrollment, TlsKey } from '@palyra/identity';

/** `key.pem`, `cert.pem` (the leaf), `chain.pem` (leaf, issuing CA) and `bundle.pem` (roots) in the folder. */
export async function writeCredentialFiles(folder: string, enrollment: PairedEnrollment): Promise<void> {
  const { certificateChain, trustBundle, tlsKey } = enrollment;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await replaceFile(join(folder, 'bundle.pem'), certificatesToPem(trustBundle), 0o644);
  await replaceFile(join(folder, 'key.pem'), TlsKey.fromPkcs8(tlsKey).toPem(), 0o600);
  await replaceFile(join(folder, 'chain.pem'), certificatesToPem(certificateChain), 0o644);
  await replaceFile(join(folder, 'cert.pem'), certificatesToPem(certificateChain.slice(0, 1)), 0o644);
}

async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
