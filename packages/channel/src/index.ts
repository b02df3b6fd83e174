export type { Aead, Awaitable, ImportAead } from './noise/web-crypto.ts';
