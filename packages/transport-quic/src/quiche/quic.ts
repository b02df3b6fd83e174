import type { Quic } from '../contract.ts';
import { dial } from './dial.ts';
import { listen } from './listen.ts';
import type { QuicheRuntime } from './runtime.ts';

export interface QuicOptions {
  /** Default `portable`. */
  readonly runtime?: QuicheRuntime;
}

/** QUIC over quiche, through @currentspace/http3. The first listen or dial loads the library. */
export function createQuic({ runtime = 'portable' }: QuicOptions = {}): Quic {
  return {
    listen: (options) => listen(options, runtime),
    dial: (options) => dial(options, runtime),
  };
}
