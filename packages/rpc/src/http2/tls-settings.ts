// What every TLS endpoint of ours says about versions and ciphers. Written out, because the defaults come from the
// environment: NODE_OPTIONS=--tls-cipher-list takes encryption away, --tls-max-v1.2 takes TLS 1.3.

export const tlsSettings = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
} as const;
