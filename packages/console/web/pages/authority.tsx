// The certificate authority that every certificate here chains to.

import {
  type Authority,
  Authority_Tier,
  AuthorityState,
  type KeyPlace,
  KeyPlace_Provider,
  type RootRotation,
  type RotationStep,
  rotationPhases,
  rotationSteps,
} from '@palyra/rpc/admin';
import { useEffect, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { generation, now, recentAudit, status } from '../live.ts';
import { Confirm } from '../parts/confirm.tsx';
import { Fact, Facts, Fingerprint, Problem, Tag } from '../parts/elements.tsx';
import { LifeBar } from '../parts/life-bar.tsx';
import { formatDateTime } from '../time.ts';

export function AuthorityPage() {
  const [authorities, setAuthorities] = useState<readonly Authority[]>();
  const [place, setPlace] = useState<KeyPlace>();
  const [rotation, setRotation] = useState<RootRotation>();
  const [problem, setProblem] = useState('');
  const newest = recentAudit.value[0];
  const change = newest && /^(authority|root)\./.test(newest.action) ? newest.seq : undefined;
  useEffect(() => {
    Promise.all([admin.getAuthority({}), admin.getRootRotation({})]).then(
      ([reply, status]) => {
        setAuthorities(reply.authorities);
        setPlace(reply.keys);
        setRotation(status);
        setProblem('');
      },
      (error) => setProblem(problemText(error)),
    );
  }, [generation.value, change]);
  const roots = authorities?.filter(
    ({ tier, state, notAfterMs }) =>
      tier === Authority_Tier.ROOT && state !== AuthorityState.RETIRED && Number(notAfterMs) > now.value,
  );
  return (
    <>
      <header class="page with-actions">
        <div>
          <h1>Authority</h1>
          <p>
            Root and issuing certificates of <span class="mono">{status.value?.trustDomain}</span>. Their keys
            never leave{' '}
            {place?.provider === KeyPlace_Provider.PKCS11 ? `the token ${place.token}` : 'this daemon'}.
          </p>
        </div>
        {roots && roots.length > 0 && (
          <div class="actions">
            <button type="button" onClick={() => download(roots)}>
              Download trust bundle
            </button>
          </div>
        )}
      </header>
      <Problem text={problem} />
      {authorities?.map((each) => (
        <section key={each.id} class="card" aria-label={`${titleOf(each)} ${each.serial}`}>
          <div class="card-head">
            <h2>{titleOf(each)}</h2>
            <Tag tone={each.active ? 'good' : 'calm'}>{stateText(each)}</Tag>
          </div>
          <LifeBar
            notBeforeMs={each.notBeforeMs}
            notAfterMs={each.notAfterMs}
            renewed={each.tier === Authority_Tier.ISSUING}
          />
          <Facts>
            <Fact name="From">{formatDateTime(each.notBeforeMs)}</Fact>
            <Fact name="Until">{formatDateTime(each.notAfterMs)}</Fact>
            <Fact name="Serial" wide>
              <span class="mono">{each.serial}</span>
            </Fact>
            <Fact name="SHA-256" wide>
              <Fingerprint value={each.fingerprint} />
            </Fact>
          </Facts>
        </section>
      ))}
      {rotation && <Rotation rotation={rotation} onStep={setRotation} />}
    </>
  );
}

function stateText({ tier, state }: Authority): string {
  const isRoot = tier === Authority_Tier.ROOT;
  switch (state) {
    case AuthorityState.ACTIVE:
      return isRoot ? 'In use' : 'Issuing';
    case AuthorityState.PREPARED:
      return 'Prepared, not in use yet';
    case AuthorityState.TRUSTED:
      return isRoot ? 'Still trusted' : 'Replaced; its certificates stay valid until they expire';
    case AuthorityState.RETIRED:
      return 'Retired';
    default:
      return 'Unknown';
  }
}

type Phase = ReturnType<typeof rotationPhases.show>;

const phases: Readonly<Record<Phase, { title: string; about: string; steps: readonly RotationStep[] }>> = {
  none: {
    title: 'Move to a new root',
    about:
      'Do this before the root expires, or if its key may have leaked. Devices learn about the new root first, so no device is lost.',
    steps: ['prepare'],
  },
  prepared: {
    title: 'A new root is prepared',
    about: 'The current root still signs. Devices start to trust the new root when they renew.',
    steps: ['activate', 'rollback'],
  },
  activated: {
    title: 'A new root is in use',
    about: 'Certificates under the old root stay valid until you retire it.',
    steps: ['finish', 'rollback'],
  },
  unknown: {
    title: 'Root rotation',
    about:
      'The rotation is in a phase that this page does not know, because the daemon runs another version. Reload the page.',
    steps: [],
  },
};

const stepNames: Readonly<Record<RotationStep, string>> = {
  prepare: 'Prepare a new root',
  activate: 'Sign with the new root',
  finish: 'Retire the old root',
  rollback: 'Go back to the old root',
};

const consequences: Readonly<Record<RotationStep, readonly string[]>> = {
  prepare: [
    'This creates a new root key. It signs nothing yet. From now on, devices receive the new root with every certificate.',
  ],
  activate: [
    'Every new certificate is signed under the new root. Certificates under the old root stay valid.',
    'Devices on QUIC reconnect. Devices on HTTP/2 stay connected.',
  ],
  finish: [
    'The old root is no longer trusted. This cannot be undone.',
    'Devices that still use a certificate under the old root are refused.',
  ],
  rollback: [
    'The previous root signs again. A new root that has signed nothing is dropped. One that has signed stays trusted until you finish.',
  ],
};

/** The steps of `palyra ca rotate-root`, one at a time, with the devices that would be lost. */
function Rotation({
  rotation: { phase: sent, sinceMs, behind },
  onStep,
}: {
  rotation: RootRotation;
  onStep: (rotation: RootRotation) => void;
}) {
  const [asking, setAsking] = useState<RotationStep | undefined>();
  const phase = rotationPhases.show(sent);
  const { title, about, steps } = phases[phase];
  const force = behind.length > 0 && (asking === 'activate' || asking === 'finish');
  const count = behind.length === 20 ? '20 devices or more' : devices(behind.length);
  return (
    <section class="card" aria-label="Root rotation">
      <h2>{title}</h2>
      <p>{about}</p>
      {phase !== 'none' && (
        <p>
          Since {formatDateTime(sinceMs)}.{' '}
          {behind.length === 0 ? (
            <Tag tone="good">Every device is ready for the next step</Tag>
          ) : (
            <>
              <strong class="warn-text">The next step would lose {count}:</strong>{' '}
              {behind.map(({ id, name }) => (
                <span key={id}>
                  <a href={`#/devices/${id}`}>
                    <bdi>{name}</bdi>
                  </a>{' '}
                </span>
              ))}
            </>
          )}
        </p>
      )}
      <div class="actions">
        {steps.map((step) => (
          <button key={step} type="button" onClick={() => setAsking(step)}>
            {stepNames[step]}…
          </button>
        ))}
      </div>
      {asking && (
        <Confirm
          title={`${stepNames[asking]}?`}
          consequences={[
            ...consequences[asking],
            ...(force ? [`${count} would be lost, and would have to pair again.`] : []),
          ]}
          tick={force ? 'I know these devices and accept losing them.' : undefined}
          yes={stepNames[asking]}
          onYes={async () => onStep(await admin.rotateRoot({ step: rotationSteps.toWire(asking), force }))}
          onClose={() => setAsking(undefined)}
        />
      )}
    </section>
  );
}

const devices = (count: number): string => `${count} ${count === 1 ? 'device' : 'devices'}`;

const titleOf = ({ tier }: Authority): string =>
  tier === Authority_Tier.ROOT ? 'Root' : 'Issuing authority';

/** Downloads the roots of this daemon as PEM, for programs that must trust it. */
function download(roots: readonly Authority[]): void {
  const pem = roots.map(({ certificate }) => {
    const base64 = btoa(String.fromCharCode(...certificate));
    return `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`;
  });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(pem, { type: 'application/x-pem-file' }));
  link.download = 'palyra-roots.pem';
  link.click();
  URL.revokeObjectURL(link.href);
}
