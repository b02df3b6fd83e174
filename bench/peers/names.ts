// The servers side by side.

/** In this order on every page. */
export const peerNames = ['palyra', 'node', 'grpc-js', 'grpc-go', 'nginx', 's_server'] as const;
export type PeerName = (typeof peerNames)[number];
