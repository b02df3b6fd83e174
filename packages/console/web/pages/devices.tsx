// All paired devices. The daemon searches and pages; this page keeps the devices loaded so far.

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

const pageSize = 200;
const searchDelayMs = 150;
const rowHeight = 64;

interface Listed {
  readonly search: string;
  readonly devices: readonly Device[];
  /** The start of the next page; undefined before the first page, empty after the last. */
  readonly next: string | undefined;
}

export function Devices() {
  const [search, setSearch] = useState('');
  const [listed, setListed] = useState<Listed>({ search: '', devices: [], next: undefined });
  const [problem, setProblem] = useState('');
  const loading = useRef('');

  const load = useCallback(async (wanted: string, after: string) => {
    // Loads one page at a time. Drops an answer to an earlier search.
    const ticket = `${wanted}/${after}`;
    if (loading.current === ticket) return;
    loading.current = ticket;
    try {
      const { devices, nextAfter } = await admin.listDevices({ search: wanted, after, limit: pageSize });
      if (loading.current !== ticket) return;
      setProblem('');
      setListed((before) => ({
        search: wanted,
        devices: after ? [...before.devices, ...devices] : devices,
        next: nextAfter,
      }));
    } catch (error) {
      if (loading.current === ticket) setProblem(problemText(error));
    }
    if (loading.current === ticket) loading.current = '';
  }, []);

  useEffect(() => {
    const timer = setTimeout(() => void load(search, ''), search ? searchDelayMs : 0);
    return () => clearTimeout(timer);
  }, [search, generation.value, load]);
  useEffect(() => onDevice((device) => setListed((before) => withDevice(before, device))), []);
  const onEnd = useCallback(() => {
    if (listed.next) void load(listed.search, listed.next);
  }, [listed, load]);

  const places = useInPlace(listed.devices, ({ id }) => id, listed.search);
  const isComplete = listed.next === '';
  const total = listed.search ? (isComplete ? listed.devices.length : -1) : (status.value?.devices ?? -1);
  return (
    <>
      <header class="page">
        <h1>Devices</h1>
        <p>
          {status.value &&
            `${status.value.devices.toLocaleString()} ${status.value.devices === 1 ? 'device was' : 'devices were'} paired with this daemon.`}
        </p>
      </header>
      <label class="search">
        <span class="unseen">Search by part of the name or the start of the id</span>
        <input
          type="search"
          placeholder="Part of the name, or start of the id"
          value={search}
          maxLength={256}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
      </label>
      <Problem text={problem} />
      {listed.devices.length > 0 && (
        <div class="list" {...places.pointer}>
          <div class="row-head" aria-hidden="true">
            <span>Name</span>
            <span>Status</span>
            <span>Last seen</span>
            <span>Certificate</span>
          </div>
          <VirtualList
            label="Devices"
            items={places.items}
            total={total}
            rowHeight={rowHeight}
            keyOf={(device) => device.id}
            row={(device) => <Row device={device} />}
            onEnd={onEnd}
          />
        </div>
      )}
      {listed.devices.length === 0 &&
        isComplete &&
        (listed.search ? (
          <Empty title="No device matches">
            Names match anywhere, ids only from their start. <a href="#/requests">See who asks to pair</a>.
          </Empty>
        ) : (
          <Empty title="No device yet">
            Make a code with <a href="#/pair">Pair a device</a>, use it there, and approve the request.
          </Empty>
        ))}
    </>
  );
}

function Row({ device }: { device: Device }) {
  return (
    <>
      <span class="cell-name">
        <a href={`#/devices/${device.id}`}>
          <bdi>{device.name}</bdi>
        </a>
        <small>
          {kindName(device.kind)} · <bdi>{device.origin || device.platform}</bdi>
        </small>
      </span>
      <span>
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
  const { devices, search, next } = listed;
  const at = devices.findIndex((each) => each.id >= device.id);
  if (devices[at]?.id === device.id) return { ...listed, devices: devices.with(at, device) };
  const isLoadedSoFar = at >= 0 || next === '';
  const isWanted =
    device.id.startsWith(search.toUpperCase()) || device.name.toLowerCase().includes(search.toLowerCase());
  if (!isLoadedSoFar || !isWanted) return listed;
  return { ...listed, devices: devices.toSpliced(at < 0 ? devices.length : at, 0, device) };
}
