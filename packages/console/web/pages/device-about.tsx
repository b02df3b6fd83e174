// What is known about a device.

import { CloneSign, type Device, DeviceRole } from '@palyra/rpc/admin';
import { isConnected, operatorRights } from '../kinds.ts';
import { now } from '../live.ts';
import { Fact, Facts, Fingerprint } from '../parts/elements.tsx';
import { ago, formatDateTime } from '../time.ts';

const copySigns: Readonly<Record<CloneSign, string>> = {
  [CloneSign.UNSPECIFIED]: 'The device did something that only a copied device has a reason to do',
  [CloneSign.REPLACED_CERTIFICATE]: 'A certificate that this device had replaced was used again',
  [CloneSign.RECOVERY]: 'Somebody recovered with its identity key although its certificate was valid',
  [CloneSign.SECOND_AGENT]: 'A second agent connected while the first one answered',
};

/** What happened, when and from where, and what to do. */
export function PossibleCopy({ device }: { device: Device }) {
  const { cloneSign, cloneSource, cloneSeenMs } = device;
  return (
    <section class="card alarm copy" role="alert" aria-label="Possible copy">
      <div class="alarm-banner">
        <strong>POSSIBLE COPY</strong>
        <span>
          {copySigns[cloneSign] ?? copySigns[CloneSign.UNSPECIFIED]}
          {cloneSource && (
            <>
              , from <b class="mono">{cloneSource}</b>
            </>
          )}
          , {ago(cloneSeenMs, now.value)}.
        </span>
      </div>
      <p>
        Either somebody has a copy of the device and its keys, or the device was restored from a backup.
        Revoke it, unless you know that it was a restore: then release it.
      </p>
    </section>
  );
}

export function About({ device }: { device: Device }) {
  return (
    <section class="card" aria-label="About this device">
      <Facts>
        {device.revocationReason && (
          <Fact name="Revoked because" wide>
            <bdi>{device.revocationReason}</bdi>
          </Fact>
        )}
        {device.recoveryAskedMs > 0n && (
          <Fact name="Asks to recover" wide>
            It asked for a certificate without having a valid one ({ago(device.recoveryAskedMs, now.value)}).
            Only you can allow that; the history says why. Release it if you know that it is yours.
          </Fact>
        )}
        {device.role === DeviceRole.OPERATOR && (
          <Fact name="Role" wide>
            <strong class="warn-text">OPERATOR.</strong> {operatorRights[0]}
          </Fact>
        )}
        {device.hostNames.length > 0 && (
          <Fact name="Host names in its certificates" wide>
            <bdi>{device.hostNames.join(', ')}</bdi>
          </Fact>
        )}
        {device.labels.length > 0 && (
          <Fact name="Labels" wide>
            <span class="chips">
              {device.labels.map((label) => (
                <span key={label} class="chip">
                  {label}
                </span>
              ))}
            </span>
          </Fact>
        )}
        <Fact name="Paired">{formatDateTime(device.createdAtMs)}</Fact>
        <Fact name="Last seen">{isConnected(device) ? 'now' : ago(device.lastSeenMs, now.value)}</Fact>
        {device.origin && (
          <Fact name="Connected from the origin" wide>
            <bdi class="mono">{device.origin}</bdi>
          </Fact>
        )}
        <Fact name="Device id" wide>
          <span class="mono">{device.id}</span>
        </Fact>
        <Fact name="Identity key, SHA-256" wide>
          <Fingerprint value={device.identityFingerprint} />
        </Fact>
        <Fact name="Capabilities" wide>
          {device.capabilities.length > 0 ? (
            <span class="chips">
              {device.capabilities.map((each) => (
                <span key={each} class="chip">
                  <bdi>{each}</bdi>
                </span>
              ))}
            </span>
          ) : (
            <span class="faint">No capabilities registered.</span>
          )}
        </Fact>
      </Facts>
    </section>
  );
}
