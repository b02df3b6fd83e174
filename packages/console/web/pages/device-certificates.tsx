// The certificates of a device.

import { type Certificate, CertificateState, certificateStates } from '@palyra/rpc/admin';
import { useInPlace } from '../in-place.ts';
import { Tag, type Tone } from '../parts/elements.tsx';
import { LifeBar } from '../parts/life-bar.tsx';
import { formatDateTime } from '../time.ts';

const certificateTones: Readonly<Partial<Record<CertificateState, Tone>>> = {
  [CertificateState.ACTIVE]: 'good',
  [CertificateState.ISSUED]: 'calm',
  [CertificateState.REVOKED]: 'bad',
};

export function Certificates({
  device,
  certificates,
  onRevoke,
}: {
  /** The id of the device. */
  device: string;
  certificates: readonly Certificate[];
  onRevoke: (certificate: Certificate) => void;
}) {
  const places = useInPlace(certificates, ({ serial }) => serial, device);
  return (
    <section class="card" aria-label="Certificates" {...places.pointer}>
      <h2>Certificates</h2>
      {certificates.length === 0 && (
        <p class="faint">None yet. An approved device fetches its certificate.</p>
      )}
      <ul class="certificates">
        {places.items.map((each) => (
          <li key={each.serial}>
            <span class="mono">{each.serial}</span>
            <Tag tone={certificateTones[each.state] ?? 'calm'}>{certificateStates.show(each.state)}</Tag>
            {each.state === CertificateState.ACTIVE || each.state === CertificateState.ISSUED ? (
              <>
                <LifeBar notBeforeMs={each.notBeforeMs} notAfterMs={each.notAfterMs} />
                <button
                  type="button"
                  aria-label={`Revoke certificate ${each.serial}`}
                  onClick={() => onRevoke(each)}
                >
                  Revoke…
                </button>
              </>
            ) : (
              <span class="faint">
                {formatDateTime(each.notBeforeMs)} to {formatDateTime(each.notAfterMs)}
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
