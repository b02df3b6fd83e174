// The versions and ciphers of every TLS endpoint of ours. They are written out, because the defaults depend on the
// environment: NODE_OPTIONS=--tls-cipher-list can remove encryption, and --tls-max-v1.2 removes TLS 1.3.

export const tlsSettings = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
} as const;
