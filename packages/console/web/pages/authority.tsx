// The certificate authority: what every certificate here leads to.

import type { Authority } from '@palyra/rpc/admin';
import { useEffect, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { generation, now, status } from '../live.ts';
import { LifeBar } from '../parts/life-bar.tsx';
import { Fact, Facts, Fingerprint, Problem, Tag } from '../parts/pieces.tsx';
import { formatDateTime } from '../time.ts';

export function AuthorityPage() {
  const [authorities, setAuthorities] = useState<readonly Authority[]>();
  const [problem, setProblem] = useState('');
  useEffect(() => {
    admin.getAuthority({}).then(
      (reply) => setAuthorities(reply.authorities),
      (error) => setProblem(problemText(error)),
    );
  }, [generation.value]);
  const roots = authorities?.filter(
    ({ tier, notAfterMs }) => tier === 'root' && Number(notAfterMs) > now.value,
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
      {authorities?.map((each) => (
        <section key={each.id} class="card" aria-label={titleOf(each)}>
          <div class="card-head">
            <h2>{titleOf(each)}</h2>
            <Tag tone={each.active ? 'good' : 'calm'}>
              {each.active
                ? each.tier === 'root'
                  ? 'Trusted'
                  : 'Issues now'
                : 'Replaced; what it issued holds until its end'}
            </Tag>
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
