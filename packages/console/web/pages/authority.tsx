// The certificate authority: what every certificate here leads to.

import type { Authority, RotateRootResponse } from '@palyra/rpc/admin';
import { useEffect, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { generation, now, recentAudit, status } from '../live.ts';
import { LifeBar } from '../parts/life-bar.tsx';
import { Fact, Facts, Fingerprint, Problem, Tag } from '../parts/pieces.tsx';
import { formatDateTime } from '../time.ts';

export function AuthorityPage() {
  const [authorities, setAuthorities] = useState<readonly Authority[]>();
  const [rotation, setRotation] = useState<RotateRootResponse>();
  const [problem, setProblem] = useState('');
  const newest = recentAudit.value[0];
  const change = newest && /^(authority|root)\./.test(newest.action) ? newest.seq : undefined;
  useEffect(() => {
    Promise.all([admin.getAuthority({}), admin.rotateRoot({ step: 'status' })]).then(
      ([reply, status]) => {
        setAuthorities(reply.authorities);
        setRotation(status);
        setProblem('');
      },
      (error) => setProblem(problemText(error)),
    );
  }, [generation.value, change]);
  const roots = authorities?.filter(
    ({ tier, state, notAfterMs }) => tier === 'root' && state !== 'retired' && Number(notAfterMs) > now.value,
  );
  return (
    <>
      <header class="page with-actions">
        <div>
          <h1>Authority</h1>
          <p>
            Root and issuing certificates of <span class="mono">{status.value?.trustDomain}</span>. Their keys
            never leave this daemon.
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
      {rotation && rotation.phase !== 'none' && <Rotation rotation={rotation} />}
      {authorities?.map((each) => (
        <section key={each.id} class="card" aria-label={`${titleOf(each)} ${each.serial}`}>
          <div class="card-head">
            <h2>{titleOf(each)}</h2>
            <Tag tone={each.active ? 'good' : 'calm'}>{stateText(each)}</Tag>
          </div>
          <LifeBar
            notBeforeMs={each.notBeforeMs}
            notAfterMs={each.notAfterMs}
            renewed={each.tier === 'issuing'}
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
    </>
  );
}

function stateText({ tier, state }: Authority): string {
  const isRoot = tier === 'root';
  switch (state) {
    case 'active':
      return isRoot ? 'In use' : 'Issues now';
    case 'prepared':
      return 'Prepared, not in use yet';
    case 'trusted':
      return 'Still trusted';
    default:
      return isRoot ? 'Retired' : 'Replaced; what it issued holds until its end';
  }
}

function Rotation({ rotation: { phase, sinceMs, behind } }: { rotation: RotateRootResponse }) {
  const isPrepared = phase === 'prepared';
  return (
    <section class="card" aria-label="Root rotation">
      <h2>{isPrepared ? 'A new root is prepared' : 'A new root is in use'}</h2>
      <p>
        Since {formatDateTime(sinceMs)}.{' '}
        {behind.length === 0
          ? 'Every device is ready for the next step: '
          : `The next step would lose ${behind.length === 20 ? '20 devices or more' : `${behind.length}`}: `}
        {behind.map(({ id, name }) => (
          <span key={id}>
            <a href={`#/devices/${id}`}>{name}</a>{' '}
          </span>
        ))}
        {behind.length === 0 && <code>palyra ca rotate-root {isPrepared ? 'activate' : 'finish'}</code>}
      </p>
    </section>
  );
}

const titleOf = ({ tier }: Authority): string => (tier === 'root' ? 'Root' : 'Issuing authority');

/** What other programs need to trust this daemon: its roots, as PEM. */
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
