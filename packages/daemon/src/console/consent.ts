// Which calls in the console ask for a passkey, once the operator has registered one.

import type { DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import { AdminService } from '@palyra/rpc';

type Methods = typeof AdminService.method;
type Rule<Name extends keyof Methods> =
  | boolean
  | ((request: MessageShape<Methods[Name]['input']>) => boolean);

/**
 * What lets a device in, gives rights, or shuts many out. A record, so that the compiler reports a new method: somebody
 * has to decide. Calls that only read, or that shut one device out, do not ask: a revocation must not wait.
 */
const asks: { readonly [Name in keyof Methods]: Rule<Name> } = {
  approvePairing: true,
  // The code approves the device that uses it.
  mintCode: ({ autoApprove }) => autoApprove,
  // Lets a device back in, or lets it recover.
  releaseDevice: true,
  setDeviceRole: true,
  // A label can give the right to run capabilities.
  setLabels: true,
  setHostNames: true,
  revokeDevices: true,
  rotateRoot: true,
  addPasskey: true,
  removePasskey: true,

  revokeDevice: false,
  revokeCertificate: false,
  rejectPairing: false,
  renameDevice: false,
  forgetDaemon: false,
  renewDevices: false,
  executeCapability: false,
  getStatus: false,
  listPairings: false,
  getPairing: false,
  watchPairings: false,
  listDevices: false,
  getDevice: false,
  getAuthority: false,
  getRevocationLists: false,
  getRootRotation: false,
  listAudit: false,
  verifyAudit: false,
  explain: false,
  watch: false,
  getHealth: false,
  listPasskeys: false,
  beginPasskey: false,
  beginAct: false,
  createConsoleLogin: false,
};

/** Whether a call to this method with this request needs a passkey. */
export function needsPasskey({ localName }: DescMethodUnary, request: unknown): boolean {
  const rule = asks[localName as keyof Methods] as boolean | ((request: unknown) => boolean) | undefined;
  return typeof rule === 'function' ? rule(request) : (rule ?? true);
}

/** The method that an act may be begun for; undefined for one that does not ask. */
export function actMethod(name: string): DescMethodUnary | undefined {
  const method = AdminService.methods.find((each) => each.name === name);
  if (method?.methodKind !== 'unary' || asks[method.localName as keyof Methods] === false) return undefined;
  return method as DescMethodUnary;
}
