// Who may call what: one table, RPC name to caller. A method that is not here is served to nobody; a test proves that
// every method of every service is.

/**
 * `operator`: at the admin socket, in the console, or over mutual TLS from a device that has the operator role.
 * `local operator`: never from a device. It would make more operators, or needs keys or files of the daemon's machine.
 */
export type Caller = 'anyone' | 'device' | 'operator' | 'local operator';

/** Who may call a service of a program that embeds the daemon. It is reached over mutual TLS only. */
export type OwnCaller = Extract<Caller, 'device' | 'operator'>;

/** The rows of such services. They never stand for a method of the daemon's own. */
export type OwnAccess = Readonly<Record<string, OwnCaller>>;

/** How a server checks such services. */
export interface OwnCalls {
  readonly access: OwnAccess;
  /** Aborted when the server stops: handlers of streams are told, which might go on for ever. Its reason is an IdentityError. */
  readonly stopping?: AbortSignal;
}

/** Whether a service or method has a name that the daemon keeps for its own, now or later. */
export const isOurs = (name: string): boolean => /^(?:palyra|grpc)\./.test(name);

/** Frozen: a program that embeds this may not give itself rights by a cast. */
export const access: Readonly<Record<string, Caller>> = Object.freeze<Record<string, Caller>>({
  'palyra.pairing.v1.PairingService/Open': 'anyone',
  'palyra.pairing.v1.PairingService/Exchange': 'anyone',
  'palyra.pairing.v1.PairingService/Confirm': 'anyone',
  'palyra.pairing.v1.PairingService/Await': 'anyone',
  'palyra.pairing.v1.PairingService/Challenge': 'anyone',
  'palyra.pairing.v1.PairingService/Recover': 'anyone',

  'palyra.node.v1.NodeService/Register': 'device',
  'palyra.node.v1.NodeService/Status': 'device',
  'palyra.node.v1.NodeService/Renew': 'device',
  'palyra.node.v1.NodeService/Events': 'device',

  'palyra.admin.v1.AdminService/GetStatus': 'operator',
  'palyra.admin.v1.AdminService/MintCode': 'operator',
  'palyra.admin.v1.AdminService/ListPairings': 'operator',
  'palyra.admin.v1.AdminService/GetPairing': 'operator',
  'palyra.admin.v1.AdminService/ApprovePairing': 'operator',
  'palyra.admin.v1.AdminService/RejectPairing': 'operator',
  'palyra.admin.v1.AdminService/WatchPairings': 'operator',
  'palyra.admin.v1.AdminService/ListDevices': 'operator',
  'palyra.admin.v1.AdminService/GetDevice': 'operator',
  'palyra.admin.v1.AdminService/RenameDevice': 'operator',
  'palyra.admin.v1.AdminService/SetDeviceRole': 'local operator',
  'palyra.admin.v1.AdminService/SetHostNames': 'operator',
  'palyra.admin.v1.AdminService/RevokeDevice': 'operator',
  'palyra.admin.v1.AdminService/ReleaseDevice': 'operator',
  'palyra.admin.v1.AdminService/RevokeCertificate': 'operator',
  'palyra.admin.v1.AdminService/ExecuteCapability': 'operator',
  'palyra.admin.v1.AdminService/GetAuthority': 'operator',
  'palyra.admin.v1.AdminService/GetRevocationLists': 'operator',
  'palyra.admin.v1.AdminService/GetRootRotation': 'operator',
  'palyra.admin.v1.AdminService/RotateRoot': 'local operator',
  'palyra.admin.v1.AdminService/ListAudit': 'operator',
  'palyra.admin.v1.AdminService/VerifyAudit': 'operator',
  'palyra.admin.v1.AdminService/Explain': 'operator',
  'palyra.admin.v1.AdminService/Watch': 'operator',
  'palyra.admin.v1.AdminService/GetHealth': 'operator',
  'palyra.admin.v1.AdminService/CreateConsoleLogin': 'local operator',

  'grpc.health.v1.Health/Check': 'device',
  'grpc.health.v1.Health/Watch': 'device',
  'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': 'operator',
  'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': 'operator',
});
