// A device of a fleet that knows only these daemons. What its daemon told it of the others does not count.

import type { PairedEnrollment } from '@palyra/identity/device';

export const onlyAt = (
  enrollment: PairedEnrollment,
  ...daemons: readonly { readonly nodeAddress: string; readonly quicAddress?: string }[]
): PairedEnrollment => ({
  ...enrollment,
  byHand: {
    node: daemons.map(({ nodeAddress }) => nodeAddress),
    quic: daemons.flatMap(({ quicAddress }) => quicAddress ?? []),
  },
});
