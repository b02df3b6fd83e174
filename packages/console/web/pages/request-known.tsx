// What the daemon knew of a device before its request.

import { Continuity, type PairingDevice } from '@palyra/rpc/admin';
import { Tag } from '../parts/elements.tsx';

export function KnownBefore({ device }: { device: PairingDevice }) {
  switch (device.continuity) {
    case Continuity.KNOWN:
      return (
        <>
          <Tag tone="good">Known device, same identity key</Tag>
          <KnownName device={device} />
        </>
      );
    case Continuity.ANOTHER_KEY:
      return (
        <div class="alarm-banner" role="alert">
          <strong>ANOTHER KEY</strong>
          <span>
            This device id was paired before with a different identity key. Either the device was reinstalled,
            or another device is using its id.
            <KnownName device={device} />
          </span>
        </div>
      );
    case Continuity.NEW:
      return <Tag tone="calm">New device</Tag>;
    default:
      return <Tag tone="warn">This page cannot tell whether the device was known before</Tag>;
  }
}

/** The name under which the daemon knows the device, beside the one that it gives now. */
function KnownName({ device: { name, knownName } }: { device: PairingDevice }) {
  if (knownName === '') return null;
  return (
    <span class="known-name">
      {knownName === name ? (
        ' It is known by this name.'
      ) : (
        <>
          {' '}
          You know it as{' '}
          <b>
            <bdi>{knownName}</bdi>
          </b>
          ; it calls itself{' '}
          <b>
            <bdi>{name}</bdi>
          </b>
          .
        </>
      )}
    </span>
  );
}

export function OperatorBefore({ device }: { device: PairingDevice }) {
  return (
    <p class="problem" role="alert">
      {device.continuity === Continuity.ANOTHER_KEY ? (
        <>
          This id belongs to an <strong>OPERATOR</strong>. The new key does not get that role with your
          approval.
        </>
      ) : (
        <>
          This device is an <strong>OPERATOR</strong> and stays one.
        </>
      )}
    </p>
  );
}
