// The enums that a device needs. wire-enums.ts has the others, which only administrators need and which import more of the protos.

import type { ErrorSubject } from '@palyra/identity/errors';
import { WireWords, wireWords } from './enum-words.ts';
import { About } from './gen/palyra/error/v1/error_pb.js';
import { CapabilityFailure } from './gen/palyra/node/v1/node_pb.js';
import { DeviceKind, PairingState } from './gen/palyra/pairing/v1/pairing_pb.js';

export const deviceKinds = wireWords<DeviceKind>()({
  cli: DeviceKind.CLI,
  desktop: DeviceKind.DESKTOP,
  browser: DeviceKind.BROWSER,
  node: DeviceKind.NODE,
});

export const pairingStates = wireWords<PairingState>()({
  waiting: PairingState.WAITING,
  pending_approval: PairingState.PENDING_APPROVAL,
  approved: PairingState.APPROVED,
  issued: PairingState.ISSUED,
  active: PairingState.ACTIVE,
  rejected: PairingState.REJECTED,
  expired: PairingState.EXPIRED,
  exhausted: PairingState.EXHAUSTED,
});

/** How a capability fails on a device, as the error code that the caller gets. */
export const capabilityFailures = wireWords<CapabilityFailure>()({
  CAPABILITY_UNKNOWN: CapabilityFailure.UNKNOWN,
  CAPABILITY_FAILED: CapabilityFailure.FAILED,
  CAPABILITY_TIMEOUT: CapabilityFailure.TIMEOUT,
  CAPABILITY_OUTPUT_TOO_LARGE: CapabilityFailure.OUTPUT_TOO_LARGE,
  CAPABILITY_CANCELED: CapabilityFailure.CANCELED,
});

/** What an error code is about. */
export const errorSubjects = new WireWords<ErrorSubject, About>({
  pairing_code: About.PAIRING_CODE,
  interception: About.INTERCEPTION,
  identity_key: About.IDENTITY_KEY,
  recovery: About.RECOVERY,
  root: About.ROOT,
  old_root: About.OLD_ROOT,
  issuing_ca: About.ISSUING_CA,
  set_aside: About.SET_ASIDE,
  backup: About.BACKUP,
  key_file: About.KEY_FILE,
  secret_store: About.SECRET_STORE,
  registry: About.REGISTRY,
  device_record: About.DEVICE_RECORD,
  device_identity: About.DEVICE_IDENTITY,
  operator_role: About.OPERATOR_ROLE,
  quarantine: About.QUARANTINE,
  console_login: About.CONSOLE_LOGIN,
  admin_socket: About.ADMIN_SOCKET,
  node_endpoints: About.NODE_ENDPOINTS,
  quic_endpoints: About.QUIC_ENDPOINTS,
  home: About.HOME,
  home_owner: About.HOME_OWNER,
  configuration: About.CONFIGURATION,
});
