// The life of a certificate as a bar: what is left of it, and where it is renewed.

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
  const share = Math.min(1, Math.max(0, (until - now.value) / (until - from)));
  const renewalMs = from + (until - from) * RENEWAL_SHARE;
  const leftMs = until - now.value;
  const isLate = now.value > renewalMs;
  const tone = leftMs <= 0 ? 'bad' : renewed && isLate ? 'warn' : 'good';
  const words =
    leftMs <= 0
      ? `ended ${span(-leftMs)} ago`
      : !renewed || isLate
        ? `${span(leftMs)} left`
        : `${span(leftMs)} left, renews in ${span(renewalMs - now.value)}`;
  return (
    <div class={small ? 'life small' : 'life'}>
      <svg class={tone} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width="100" height="6" rx="1" />
        <rect class="left" width={share * 100} height="6" rx="1" />
        {renewed && <path class="mark" d={`M${(1 - RENEWAL_SHARE) * 100} 0v6`} />}
      </svg>
      <span title={`Until ${formatDateTime(notAfterMs)}`}>{small ? words.split(',')[0] : words}</span>
    </div>
  );
}
