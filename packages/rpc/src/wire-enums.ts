// Maps the enums of the protos to the words that programs use. The enums that a device needs are in device-enums.ts. Uses no
// Node module, so that a page in a browser can import it.

import { wireWords } from './enum-words.ts';
import {
  AuditEntry_Guess,
  Authority_Tier,
  AuthorityState,
  CertificateState,
  CloneSign,
  Continuity,
  DeviceOrder,
  DeviceRole,
  DeviceState,
  DueWork_What,
  ExplainResponse_Advice,
  ExplainResponse_Decision,
  ExplainResponse_Kind,
  KeyPlace_Provider,
  ListenerName,
  Problem_Part,
  RootRotation_Phase,
  RotateRootRequest_Step,
  Transport,
} from './gen/palyra/admin/v1/admin_pb.js';

export * from './device-enums.ts';
export { WireWords } from './enum-words.ts';

export const deviceStates = wireWords<DeviceState>()({
  approved: DeviceState.APPROVED,
  active: DeviceState.ACTIVE,
  quarantined: DeviceState.QUARANTINED,
  revoked: DeviceState.REVOKED,
});

export const deviceRoles = wireWords<DeviceRole>()({
  device: DeviceRole.DEVICE,
  operator: DeviceRole.OPERATOR,
});

/** The transport of a device's call or channel. */
export const transports = wireWords<Transport>()({
  http2: Transport.HTTP2,
  quic: Transport.QUIC,
  websocket: Transport.WEBSOCKET,
});
export type TransportWord = (typeof transports)['words'][number];

export const certificateStates = wireWords<CertificateState>()({
  issued: CertificateState.ISSUED,
  active: CertificateState.ACTIVE,
  superseded: CertificateState.SUPERSEDED,
  revoked: CertificateState.REVOKED,
});

/** What made a device look copied. */
export const cloneSigns = wireWords<CloneSign>()({
  replaced_certificate: CloneSign.REPLACED_CERTIFICATE,
  recovery: CloneSign.RECOVERY,
  second_agent: CloneSign.SECOND_AGENT,
});

/** The order of a list of devices, when it is not that of their pairing. */
export const deviceOrders = wireWords<DeviceOrder>()({
  name: DeviceOrder.NAME,
  seen: DeviceOrder.SEEN,
  expiry: DeviceOrder.EXPIRY,
});

/** How a guess at a code went. */
export const auditGuesses = wireWords<AuditEntry_Guess>()({
  right: AuditEntry_Guess.RIGHT,
  wrong: AuditEntry_Guess.WRONG,
  open: AuditEntry_Guess.OPEN,
});

export const continuities = wireWords<Continuity>()({
  new: Continuity.NEW,
  known: Continuity.KNOWN,
  another_key: Continuity.ANOTHER_KEY,
});

export const authorityTiers = wireWords<Authority_Tier>()({
  root: Authority_Tier.ROOT,
  issuing: Authority_Tier.ISSUING,
});

export const authorityStates = wireWords<AuthorityState>()({
  prepared: AuthorityState.PREPARED,
  active: AuthorityState.ACTIVE,
  trusted: AuthorityState.TRUSTED,
  retired: AuthorityState.RETIRED,
});

export const keyProviders = wireWords<KeyPlace_Provider>()({
  'secret-store': KeyPlace_Provider.SECRET_STORE,
  pkcs11: KeyPlace_Provider.PKCS11,
});

export const rotationSteps = wireWords<RotateRootRequest_Step>()({
  prepare: RotateRootRequest_Step.PREPARE,
  activate: RotateRootRequest_Step.ACTIVATE,
  finish: RotateRootRequest_Step.FINISH,
  rollback: RotateRootRequest_Step.ROLLBACK,
});
export type RotationStep = (typeof rotationSteps)['words'][number];

export const rotationPhases = wireWords<RootRotation_Phase>()({
  none: RootRotation_Phase.NONE,
  prepared: RootRotation_Phase.PREPARED,
  activated: RootRotation_Phase.ACTIVATED,
});

/** Work that one daemon of a fleet does for all of them. */
export const dueWorks = wireWords<DueWork_What>()({
  authorities: DueWork_What.AUTHORITIES,
  expiries: DueWork_What.EXPIRIES,
  'revocation lists': DueWork_What.REVOCATION_LISTS,
});

/** Parts of the daemon that can fail while the daemon keeps running. */
export const daemonParts = wireWords<Problem_Part>()({
  'ca key': Problem_Part.CA_KEY,
  'issuing ca': Problem_Part.ISSUING_CA,
  quic: Problem_Part.QUIC,
  audit: Problem_Part.AUDIT,
  backup: Problem_Part.BACKUP,
});
export type DaemonPart = (typeof daemonParts)['words'][number];

export const listenerNames = wireWords<ListenerName>()({
  pairing: ListenerName.PAIRING,
  node: ListenerName.NODE,
  quic: ListenerName.QUIC,
  publish: ListenerName.PUBLISH,
  metrics: ListenerName.METRICS,
  console: ListenerName.CONSOLE,
  admin: ListenerName.ADMIN,
  web: ListenerName.WEB,
});
export type ListenerWord = (typeof listenerNames)['words'][number];

export const explainedKinds = wireWords<ExplainResponse_Kind>()({
  device: ExplainResponse_Kind.DEVICE,
  certificate: ExplainResponse_Kind.CERTIFICATE,
  pairing: ExplainResponse_Kind.PAIRING,
});
export type ExplainedKind = (typeof explainedKinds)['words'][number];

export const decisions = wireWords<ExplainResponse_Decision>()({
  allowed: ExplainResponse_Decision.ALLOWED,
  refused: ExplainResponse_Decision.REFUSED,
  waiting: ExplainResponse_Decision.WAITING,
});
export type Decision = (typeof decisions)['words'][number];

/** The operator's next step in an explanation, when the code alone does not say it. */
export const advices = wireWords<ExplainResponse_Advice>()({
  pair: ExplainResponse_Advice.PAIR,
  decide: ExplainResponse_Advice.DECIDE,
  pair_again: ExplainResponse_Advice.PAIR_AGAIN,
  connect: ExplainResponse_Advice.CONNECT,
  release_when_sure: ExplainResponse_Advice.RELEASE_WHEN_SURE,
  release_or_revoke: ExplainResponse_Advice.RELEASE_OR_REVOKE,
});
export type Advice = (typeof advices)['words'][number];
