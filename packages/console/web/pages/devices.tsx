// All paired devices. The daemon filters, orders and pages; this page keeps the devices loaded so far.

import { type Device, DeviceState } from '@palyra/rpc/admin';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { useInPlace } from '../in-place.ts';
import { isConnected, kindName } from '../kinds.ts';
import { generation, now, onDevice, status } from '../live.ts';
import { DeviceStatus } from '../parts/device-status.tsx';
import { Empty, Problem } from '../parts/elements.tsx';
import { LifeBar } from '../parts/life-bar.tsx';
import { VirtualList } from '../parts/virtual-list.tsx';
import { ago } from '../time.ts';
import { everything, type Filter, FilterBar, isPlain, queryOf } from './devices-filter.tsx';
import { RevokeMany } from './devices-revoke.tsx';

const pageSize = 200;
const typingDelayMs = 150;
/** Most devices that the daemon revokes together. */
const maxTogether = 500;
const wideRow = 64;
const narrowRow = 112;
const narrow = matchMedia('(max-width: 760px)');

interface Listed {
  readonly filter: Filter;
  readonly devices: readonly Device[];
  /** The start of the next page; undefined before the first page, empty after the last. */
  readonly next: string | undefined;
}

export function Devices() {
  const [filter, setFilter] = useState(everything);
  const [listed, setListed] = useState<Listed>({ filter: everything, devices: [], next: undefined });
  const [problem, setProblem] = useState('');
  const [chosen, setChosen] = useState<ReadonlyMap<string, Device>>(new Map());
  const [isAsking, setAsking] = useState(false);
  const isNarrow = useNarrow();
  const loading = useRef('');

  const load = useCallback(async (wanted: Filter, after: string) => {
    // Loads one page at a time. Drops an answer to an earlier filter.
    const ticket = `${JSON.stringify(wanted)}/${after}`;
    if (loading.current === ticket) return;
    loading.current = ticket;
    try {
      const query = queryOf(wanted, now.value);
      const { devices, nextAfter } = await admin.listDevices({ ...query, after, limit: pageSize });
      if (loading.current !== ticket) return;
      setProblem('');
      setListed((before) => ({
        filter: wanted,
        devices: after ? withoutRepeats([...before.devices, ...devices]) : devices,
        next: nextAfter,
      }));
    } catch (error) {
      if (loading.current === ticket) setProblem(problemText(error));
    }
    if (loading.current === ticket) loading.current = '';
  }, []);

  useEffect(() => {
    const isTyped = filter.search !== '' || filter.labels !== '';
    const timer = setTimeout(() => void load(filter, ''), isTyped ? typingDelayMs : 0);
    return () => clearTimeout(timer);
  }, [filter, generation.value, load]);
  useEffect(() => onDevice((device) => setListed((before) => withDevice(before, device))), []);
  const onEnd = useCallback(() => {
    if (listed.next) void load(listed.filter, listed.next);
  }, [listed, load]);

  const places = useInPlace(listed.devices, ({ id }) => id, JSON.stringify(listed.filter));
  const isComplete = listed.next === '';
  const isFiltered = !isPlain(listed.filter) || listed.filter.search !== '';
  const total = isComplete ? listed.devices.length : -1;
  const choose = (device: Device, isChosen: boolean) =>
    setChosen((before) => {
      const after = new Map(before);
      if (isChosen) after.set(device.id, device);
      else after.delete(device.id);
      return after;
    });
  return (
    <>
      <header class="page">
        <h1>Devices</h1>
        <p>
          {status.value &&
            `${status.value.devices.toLocaleString()} ${status.value.devices === 1 ? 'device was' : 'devices were'} paired with this daemon.`}
        </p>
      </header>
      <FilterBar filter={filter} onChange={setFilter} />
      <Problem text={problem} />
      {chosen.size > 0 && (
        <div class="chosen" role="status">
          <span>{chosen.size === 1 ? '1 device chosen' : `${chosen.size} devices chosen`}</span>
          <button
            type="button"
            class="danger"
            disabled={chosen.size > maxTogether}
            onClick={() => setAsking(true)}
          >
            Revoke the chosen…
          </button>
          <button type="button" onClick={() => setChosen(new Map())}>
            Choose none
          </button>
          {chosen.size > maxTogether && <small>At most {maxTogether} at one time.</small>}
        </div>
      )}
      {isAsking && (
        <RevokeMany
          devices={[...chosen.values()]}
          onDone={() => setChosen(new Map())}
          onClose={() => setAsking(false)}
        />
      )}
      {listed.devices.length > 0 && (
        <div class="list" {...places.pointer}>
          <div class="row-head" aria-hidden="true">
            <span />
            <span>Name</span>
            <span>Status</span>
            <span>Last seen</span>
            <span>Certificate</span>
          </div>
          <VirtualList
            label="Devices"
            items={places.items}
            total={total}
            rowHeight={isNarrow ? narrowRow : wideRow}
            keyOf={(device) => device.id}
            row={(device) => (
              <Row
                device={device}
                isChosen={chosen.has(device.id)}
                onChoose={(isChosen) => choose(device, isChosen)}
              />
            )}
            onEnd={onEnd}
          />
        </div>
      )}
      {listed.devices.length === 0 &&
        isComplete &&
        (isFiltered ? (
          <Empty title="No device matches">
            Names match anywhere, ids only from their start, and labels as whole words.{' '}
            <a href="#/requests">See who asks to pair</a>.
          </Empty>
        ) : (
          <Empty title="No device yet">
            Make a code with <a href="#/pair">Pair a device</a>, use it there, and approve the request.
          </Empty>
        ))}
    </>
  );
}

function Row(props: { device: Device; isChosen: boolean; onChoose: (isChosen: boolean) => void }) {
  const { device, isChosen, onChoose } = props;
  return (
    <>
      <span class="cell-choice">
        {device.state !== DeviceState.REVOKED && (
          <input
            type="checkbox"
            aria-label={`Choose ${device.name}`}
            checked={isChosen}
            onChange={(event) => onChoose(event.currentTarget.checked)}
          />
        )}
      </span>
      <span class="cell-name">
        <a href={`#/devices/${device.id}`}>
          <bdi>{device.name}</bdi>
        </a>
        <small>
          {kindName(device.kind)} · <bdi>{device.origin || device.platform}</bdi>
          {device.labels.map((label) => (
            <span key={label} class="chip">
              {label}
            </span>
          ))}
        </small>
      </span>
      <span class="cell-status">
        <DeviceStatus device={device} />
      </span>
      <span class="cell-seen">{isConnected(device) ? 'now' : ago(device.lastSeenMs, now.value)}</span>
      <span class="cell-life">
        {device.state !== DeviceState.REVOKED && device.certificateNotAfterMs > 0n && (
          <LifeBar
            small
            notBeforeMs={device.certificateNotBeforeMs}
            notAfterMs={device.certificateNotAfterMs}
          />
        )}
      </span>
    </>
  );
}

/** Updates a listed device in its place. Inserts a new one in order, if the loaded pages reach that far. */
function withDevice(listed: Listed, device: Device): Listed {
  const { devices, filter, next } = listed;
  const known = devices.findIndex(({ id }) => id === device.id);
  if (known >= 0) return { ...listed, devices: devices.with(known, device) };
  if (!isPlain(filter)) return listed;
  const at = devices.findIndex((each) => each.id >= device.id);
  const isLoadedSoFar = at >= 0 || next === '';
  const { search } = filter;
  const isWanted =
    device.id.startsWith(search.toUpperCase()) || device.name.toLowerCase().includes(search.toLowerCase());
  if (!isLoadedSoFar || !isWanted) return listed;
  return { ...listed, devices: devices.toSpliced(at < 0 ? devices.length : at, 0, device) };
}

/** A device that moved between two pages, because it was seen, stands where it was first. */
function withoutRepeats(devices: readonly Device[]): readonly Device[] {
  return [...new Map(devices.map((device) => [device.id, device])).values()];
}

function useNarrow(): boolean {
  const [isNarrow, setNarrow] = useState(narrow.matches);
  useEffect(() => {
    const look = () => setNarrow(narrow.matches);
    narrow.addEventListener('change', look);
    return () => narrow.removeEventListener('change', look);
  }, []);
  return isNarrow;
}
