export { hasCode, IdentityError, type IdentityErrorCode } from '@palyra/identity/portable';
export { NodeService } from '@palyra/rpc/portable';
export { type ConnectionState, DaemonConnection } from './connection.ts';
export {
  BrowserDevice,
  type BrowserDeviceOptions,
  type KnownDaemon,
  type PairOptions,
  type WaitOptions,
} from './device.ts';
