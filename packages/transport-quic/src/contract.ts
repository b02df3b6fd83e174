import type {
  ClientConnection,
  StreamDialOptions,
  StreamListener,
  StreamListenOptions,
} from '@palyra/rpc/transport';

/** The stream contract over QUIC. */
export interface Quic {
  listen(options: QuicListenOptions): Promise<StreamListener>;
  dial(options: StreamDialOptions): Promise<ClientConnection>;
}

export interface QuicListenOptions extends StreamListenOptions {
  /**
   * `refuse` (default) asks clients to stay on their path; a rebinding by a NAT is followed all the same.
   * `follow` lets a client move to another network.
   */
  readonly migration?: 'refuse' | 'follow';
  /**
   * Starts a handshake for a source address that has not answered yet: saves a round trip and lets anyone make this
   * listener work and send for addresses that are not theirs. Default false.
   */
  readonly dangerouslySkipAddressValidation?: boolean;
}
