// The frame around every page: the navigation, and whether the page is current.

import type { ComponentChildren } from 'preact';
import { announcement, line, requests, status } from './live.ts';
import { Activity } from './pages/activity.tsx';
import { AuthorityPage } from './pages/authority.tsx';
import { DevicePage } from './pages/device.tsx';
import { Devices } from './pages/devices.tsx';
import { Health } from './pages/health.tsx';
import { Pair } from './pages/pair.tsx';
import { PasskeysPage } from './pages/passkeys.tsx';
import { Requests } from './pages/requests.tsx';
import { SignedOut } from './pages/signed-out.tsx';
import { Icon, type IconName } from './parts/icons.tsx';
import { route } from './route.ts';
import { logout, signedIn } from './session.ts';

interface Place {
  readonly path: string;
  readonly name: string;
  readonly page: (id: string | undefined) => ComponentChildren;
}

const places: readonly (Place & { readonly path: IconName })[] = [
  { path: 'requests', name: 'Requests', page: () => <Requests /> },
  { path: 'pair', name: 'Pair', page: () => <Pair /> },
  {
    path: 'devices',
    name: 'Devices',
    page: (id) => (id ? <DevicePage key={id} id={id} /> : <Devices />),
  },
  { path: 'authority', name: 'Authority', page: () => <AuthorityPage /> },
  { path: 'activity', name: 'Activity', page: (id) => <Activity key={id} id={id} /> },
  { path: 'health', name: 'Health', page: () => <Health /> },
  { path: 'passkeys', name: 'Passkeys', page: () => <PasskeysPage /> },
];

export function App() {
  if (signedIn.value === 'starting') return null;
  if (signedIn.value === 'out') return <SignedOut />;
  const place = places.find(({ path }) => path === route.value[0]) ?? places[0]!;
  return (
    <div class="frame">
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the page
      </button>
      <aside>
        <p class="brand">
          <img src={new URL('./icon.svg', import.meta.url).href} alt="" width="28" height="28" />
          <span>
            Palyra
            <small>{status.value?.trustDomain}</small>
          </span>
        </p>
        <nav aria-label="Pages">
          {places.map(({ path, name }) => (
            <a key={path} href={`#/${path}`} aria-current={path === place.path ? 'page' : undefined}>
              <Icon name={path} />
              <span>{name}</span>
              {path === 'requests' && requests.value.length > 0 && (
                <b class="count">
                  {requests.value.length}
                  <span class="unseen"> waiting</span>
                </b>
              )}
            </a>
          ))}
        </nav>
        <div class="foot">
          <Line />
          <button type="button" class="plain-button" onClick={() => void logout()}>
            <Icon name="leave" />
            <span>Log out</span>
          </button>
        </div>
      </aside>
      <main id="main" tabIndex={-1}>
        {place.page(route.value[1])}
      </main>
      <div class="unseen" role="status" aria-live="polite">
        {announcement.value}
      </div>
    </div>
  );
}

function Line() {
  switch (line.value) {
    case 'live':
      return <p class="line live">Live</p>;
    case 'connecting':
      return <p class="line">Connecting</p>;
    case 'lost':
      return (
        <p class="line lost" role="alert">
          The daemon does not answer. Retrying.
        </p>
      );
  }
}
