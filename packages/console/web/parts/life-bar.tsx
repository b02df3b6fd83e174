// The life of a certificate as a bar, with the elapsed part and the time of renewal.

import { RENEWAL_SHARE } from '@palyra/identity/renewal-share';
import { now } from '../live.ts';
import { formatDateTime, span } from '../time.ts';

interface LifeBarProps {
  readonly notBeforeMs: bigint;
  readonly notAfterMs: bigint;
  /** Whether the certificate is renewed; a root is not. */
  readonly renewed?: boolean;
  readonly small?: boolean;
}

export function LifeBar({ notBeforeMs, notAfterMs, renewed = true, small = false }: LifeBarProps) {
  const from = Number(notBeforeMs);
  const until = Number(notAfterMs);
  const over = Math.min(1, Math.max(0, (now.value - from) / (until - from)));
  const renewalMs = from + (until - from) * RENEWAL_SHARE;
  const left = until - now.value;
  const tone = left <= 0 ? 'bad' : renewed && over > RENEWAL_SHARE ? 'warn' : 'good';
  const words =
    left <= 0
      ? `ended ${span(-left)} ago`
      : !renewed || over > RENEWAL_SHARE
        ? `${span(left)} left`
        : `${span(left)} left, renews in ${span(renewalMs - now.value)}`;
  return (
    <div class={small ? 'life small' : 'life'}>
      <svg class={tone} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width="100" height="6" rx="1" />
        <rect class="over" width={over * 100} height="6" rx="1" />
        {renewed && <path class="mark" d={`M${RENEWAL_SHARE * 100} 0v6`} />}
      </svg>
      <span title={`Until ${formatDateTime(notAfterMs)}`}>{small ? words.split(',')[0] : words}</span>
    </div>
  );
}
