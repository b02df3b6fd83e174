import type { ClientConnection } from '@palyra/rpc/portable';
import type { StreamDialOptions, StreamListener, StreamListenOptions } from '@palyra/rpc/transport';

/** The stream contract over QUIC. */
export interface Quic {
  listen(options: QuicListenOptions): Promise<StreamListener>;
  dial(options: StreamDialOptions): Promise<ClientConnection>;
}

export interface QuicListenOptions extends StreamListenOptions {
  /**
   * `refuse` (default) asks clients to stay on their path, but still follows a rebinding by a NAT.
   * `follow` lets a client move to another network.
   */
  readonly migration?: 'refuse' | 'follow';
  /**
   * Starts a handshake before the source address is verified. This saves a round trip, but anyone can then forge source addresses
   * and make this listener work and send for them. Default false.
   */
  readonly dangerouslySkipAddressValidation?: boolean;
}
