// What the list of devices shows, and in which order.

import { DeviceKind, DeviceOrder, DeviceState, deviceKinds } from '@palyra/rpc/admin';
import { kindName } from '../kinds.ts';

export interface Filter {
  readonly search: string;
  readonly state: DeviceState;
  readonly kind: DeviceKind;
  /** Labels, with spaces between them. */
  readonly labels: string;
  /** Devices whose certificate ends within this time; 0 for all. */
  readonly expiringMs: number;
  readonly order: DeviceOrder;
  /** Also devices that were revoked long ago. */
  readonly all: boolean;
}

export const everything: Filter = {
  search: '',
  state: DeviceState.UNSPECIFIED,
  kind: DeviceKind.UNSPECIFIED,
  labels: '',
  expiringMs: 0,
  order: DeviceOrder.UNSPECIFIED,
  all: false,
};

const states: readonly (readonly [DeviceState, string])[] = [
  [DeviceState.UNSPECIFIED, 'In any state'],
  [DeviceState.ACTIVE, 'Active'],
  [DeviceState.APPROVED, 'Waiting for their first use'],
  [DeviceState.QUARANTINED, 'In quarantine'],
  [DeviceState.REVOKED, 'Revoked'],
];

const dayMs = 86_400_000;
const expiries: readonly (readonly [ms: number, name: string])[] = [
  [0, 'Certificate: any'],
  [dayMs / 4, 'Ends within 6 hours'],
  [dayMs, 'Ends within a day'],
  [7 * dayMs, 'Ends within a week'],
];

const orders: readonly (readonly [DeviceOrder, string])[] = [
  [DeviceOrder.UNSPECIFIED, 'In order of pairing'],
  [DeviceOrder.NAME, 'By name'],
  [DeviceOrder.SEEN, 'Last seen first'],
  [DeviceOrder.EXPIRY, 'Certificate ends first'],
];

/** The message for the daemon. */
export function queryOf(filter: Filter, nowMs: number) {
  const { search, state, kind, labels, expiringMs, order, all } = filter;
  return {
    search,
    order,
    states: state === DeviceState.UNSPECIFIED ? [] : [state],
    kinds: kind === DeviceKind.UNSPECIFIED ? [] : [kind],
    labels: labels.split(/[\s,]+/).filter((label) => label !== ''),
    endsByMs: expiringMs > 0 ? BigInt(Math.round(nowMs) + expiringMs) : 0n,
    hideLongRevoked: !all && state !== DeviceState.REVOKED,
  };
}

/** Whether the list has all devices but those revoked long ago, in order of pairing. */
export function isPlain({ search, ...rest }: Filter): boolean {
  const { search: _, ...plain } = everything;
  return JSON.stringify(rest) === JSON.stringify({ ...plain, all: rest.all });
}

export function FilterBar({ filter, onChange }: { filter: Filter; onChange: (filter: Filter) => void }) {
  const change = (part: Partial<Filter>) => onChange({ ...filter, ...part });
  return (
    <div class="fleet-filters">
      <label class="search">
        <span class="unseen">Search by part of the name or the start of the id</span>
        <input
          type="search"
          placeholder="Part of the name, or start of the id"
          value={filter.search}
          maxLength={256}
          onInput={(event) => change({ search: event.currentTarget.value })}
        />
      </label>
      <label class="search">
        <span class="unseen">Labels</span>
        <input
          type="search"
          placeholder="Labels"
          value={filter.labels}
          maxLength={512}
          autocapitalize="none"
          spellcheck={false}
          onInput={(event) => change({ labels: event.currentTarget.value })}
        />
      </label>
      <Choice label="State" value={filter.state} choices={states} onChange={(state) => change({ state })} />
      <Choice
        label="Kind"
        value={filter.kind}
        choices={[
          [DeviceKind.UNSPECIFIED, 'Of any kind'] as const,
          ...deviceKinds.words.map((word) => {
            const kind = deviceKinds.toWire(word);
            return [kind, kindName(kind)] as const;
          }),
        ]}
        onChange={(kind) => change({ kind })}
      />
      <Choice
        label="End of the certificate"
        value={filter.expiringMs}
        choices={expiries}
        onChange={(expiringMs) => change({ expiringMs })}
      />
      <Choice label="Order" value={filter.order} choices={orders} onChange={(order) => change({ order })} />
      <label class="check">
        <input
          type="checkbox"
          checked={filter.all}
          onChange={(event) => change({ all: event.currentTarget.checked })}
        />
        Also those revoked more than 30 days ago
      </label>
    </div>
  );
}

function Choice<T extends number>(props: {
  label: string;
  value: T;
  choices: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}) {
  return (
    <label>
      <span class="unseen">{props.label}</span>
      <select
        value={props.value}
        onChange={(event) => props.onChange(Number(event.currentTarget.value) as T)}
      >
        {props.choices.map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
