// The admin service without Node: what a page in a browser may import.

export { fieldsOf } from './error-info.ts';
export {
  AdminService,
  type AuditEntry,
  type Authority,
  type Certificate,
  type Device,
  type GetHealthResponse,
  type GetStatusResponse,
  type KeyPlace,
  type MintCodeResponse,
  type Pairing,
  type PairingDevice,
  type RotateRootResponse,
  type WatchEvent,
} from './gen/palyra/admin/v1/admin_pb.js';
export { ErrorInfoSchema } from './gen/palyra/error/v1/error_pb.js';
