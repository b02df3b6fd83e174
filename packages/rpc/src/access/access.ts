// The access table: which callers may call each RPC. A method without a row is refused to everyone. A test proves that every
// method of every service has a row.

/**
 * `operator`: at the admin socket, in the console, or over mutual TLS from a device that has the operator role.
 * `local operator`: never from a device, because the call can make more operators, or needs keys or files of the daemon's
 * machine.
 * `peer`: another daemon of the fleet, over mutual TLS. It gets nothing else.
 */
export type Caller = 'anyone' | 'device' | 'operator' | 'local operator' | 'peer';

/** Callers of a service of the embedding program. Such a service is served over mutual TLS only. */
export type OwnCaller = Extract<Caller, 'device' | 'operator'>;

/** Access table of such services. Its rows never apply to the daemon's own methods. */
export type OwnAccess = Readonly<Record<string, OwnCaller>>;

/** Access to such services, for a server's check. */
export interface OwnCalls {
  readonly access: OwnAccess;
  /** Aborted when the server stops, so that handlers of endless streams end. The reason is an IdentityError. */
  readonly stopping?: AbortSignal;
}

/** Frozen, so that an embedding program cannot give itself rights by a cast. */
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
  'palyra.admin.v1.AdminService/SetLabels': 'local operator',
  'palyra.admin.v1.AdminService/RevokeDevice': 'operator',
  'palyra.admin.v1.AdminService/RevokeDevices': 'operator',
  'palyra.admin.v1.AdminService/ReleaseDevice': 'operator',
  'palyra.admin.v1.AdminService/RevokeCertificate': 'operator',
  'palyra.admin.v1.AdminService/RenewDevices': 'operator',
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
  'palyra.admin.v1.AdminService/ForgetDaemon': 'operator',
  'palyra.admin.v1.AdminService/ListPasskeys': 'local operator',
  'palyra.admin.v1.AdminService/RemovePasskey': 'local operator',
  'palyra.admin.v1.AdminService/BeginPasskey': 'local operator',
  'palyra.admin.v1.AdminService/AddPasskey': 'local operator',
  'palyra.admin.v1.AdminService/BeginAct': 'local operator',
  'palyra.admin.v1.AdminService/CreateConsoleLogin': 'local operator',

  'palyra.peer.v1.PeerService/Execute': 'peer',
  'palyra.peer.v1.PeerService/YieldChannel': 'peer',

  'grpc.health.v1.Health/Check': 'device',
  'grpc.health.v1.Health/Watch': 'device',
  'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': 'operator',
  'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': 'operator',
});
