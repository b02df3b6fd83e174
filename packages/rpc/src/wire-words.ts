// The closed sets of the protos: the words that programs use, and the enum value that stands for each on the wire. The one
// place that maps them. Without Node: what a page in a browser may import.

import type { ErrorSubject } from '@palyra/identity/errors';
import {
  Authority_Tier,
  AuthorityState,
  CertificateState,
  Continuity,
  DeviceRole,
  DeviceState,
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
import { About } from './gen/palyra/error/v1/error_pb.js';
import { CapabilityFailure } from './gen/palyra/node/v1/node_pb.js';
import { DeviceKind, PairingState } from './gen/palyra/pairing/v1/pairing_pb.js';

export class WireWords<Word extends string, Value extends number> {
  /** In the order of the proto. */
  readonly words: readonly Word[];
  readonly #values: Readonly<Record<Word, Value>>;
  readonly #words: ReadonlyMap<Value, Word>;

  /** @param values every word, and the value that stands for it. */
  constructor(values: Readonly<Record<Word, Value>>) {
    this.words = Object.keys(values) as Word[];
    this.#values = values;
    this.#words = new Map(this.words.map((word) => [values[word], word]));
  }

  has(word: string): word is Word {
    return Object.hasOwn(this.#values, word);
  }

  toWire(word: Word): Value {
    return this.#values[word];
  }

  /** Undefined for UNSPECIFIED, and for a value that this version does not know. */
  fromWire(value: Value): Word | undefined {
    return this.#words.get(value);
  }

  /** For people and for JSON output. */
  show(value: Value): Word | 'unknown' {
    return this.fromWire(value) ?? 'unknown';
  }
}

/** The words are those of the table; the compiler finds a value that no other enum has. */
const wireWords =
  <Value extends number>() =>
  <Word extends string>(values: Readonly<Record<Word, Value>>) =>
    new WireWords<Word, Value>(values);

export const deviceKinds = wireWords<DeviceKind>()({
  cli: DeviceKind.CLI,
  desktop: DeviceKind.DESKTOP,
  browser: DeviceKind.BROWSER,
  node: DeviceKind.NODE,
});

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

/** What a device's call or channel came over. */
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

/** Parts of the daemon that may fail while it runs on. */
export const daemonParts = wireWords<Problem_Part>()({
  'ca key': Problem_Part.CA_KEY,
  'issuing ca': Problem_Part.ISSUING_CA,
  quic: Problem_Part.QUIC,
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

/** What an operator who asks why can do, where the code does not say it. */
export const advices = wireWords<ExplainResponse_Advice>()({
  pair: ExplainResponse_Advice.PAIR,
  decide: ExplainResponse_Advice.DECIDE,
  pair_again: ExplainResponse_Advice.PAIR_AGAIN,
  connect: ExplainResponse_Advice.CONNECT,
  release_when_sure: ExplainResponse_Advice.RELEASE_WHEN_SURE,
  release_or_revoke: ExplainResponse_Advice.RELEASE_OR_REVOKE,
});
export type Advice = (typeof advices)['words'][number];

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
