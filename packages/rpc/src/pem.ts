// node:tls wants PEM; inside, certificates and keys are DER.

export function certificatesToPem(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => toPem('CERTIFICATE', der)).join('');
}

export function privateKeyToPem(pkcs8: Uint8Array): string {
  return toPem('PRIVATE KEY', pkcs8);
}

function toPem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replaceAll(/(.{64})/g, '$1\n')
    .trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
