// The options: every daemon, what it may do in this browser, and how to pair with another one.

import { guardPresses } from '@palyra/console/deliberate';
import { render } from 'preact';
import { DaemonCard } from './daemon-card.tsx';
import { ProblemBox, useAction } from './elements.tsx';
import { PairForm } from './pair-form.tsx';
import { permissionOf } from './permissions.ts';
import { type Ask, useWorker } from './use-worker.ts';
import { type DaemonView, type Problem, type Switch, switches } from './view.ts';

const texts: Readonly<Record<Switch, readonly [name: string, means: string]>> = {
  'tabs.open': ['Open a tab', 'The operator can open a page of the web in a new tab.'],
  'tabs.list': ['List tabs', 'The operator sees titles and addresses of the open tabs.'],
  notify: ['Show a notice', 'The operator can show you a short text.'],
  'clipboard.read': [
    'Ask for the clipboard',
    'The operator can ask for its text. You send it with a click in the popup, each time.',
  ],
  requests: [
    'Requests of other devices',
    'For operators: shows devices that ask to be paired, and lets you decide here.',
  ],
};

function Options() {
  const { view, ask } = useWorker();
  if (!view) return null;
  return (
    <>
      <header class="page">
        <img src="icon-48.png" alt="" width="32" height="32" />
        <h1>Palyra</h1>
      </header>
      <ProblemBox problem={view.problem} />
      {view.daemons.map((daemon) => (
        <section key={daemon.root} class="daemon" aria-label={`Daemon ${daemon.trustDomain}`}>
          <DaemonCard daemon={daemon} ask={ask} />
          <Switches daemon={daemon} ask={ask} />
        </section>
      ))}
      <section class="card" aria-label="Pair">
        <h2>{view.daemons.length === 0 ? 'Pair this browser' : 'Pair with another daemon'}</h2>
        <p class="faint">
          The daemon's configuration must list this extension: <code>{view.origin}</code>
        </p>
        <PairForm ask={ask} />
      </section>
    </>
  );
}

function Switches({ daemon, ask }: { daemon: DaemonView; ask: Ask }) {
  const { root } = daemon;
  const action = useAction();
  const change = async (name: Switch, isOn: boolean): Promise<Problem | undefined> => {
    const permission = permissionOf[name];
    // The browser asks the person, and only during a click.
    if (isOn && permission && !(await chrome.permissions.request({ permissions: [permission] })))
      return { code: 'CALLER_NOT_ALLOWED', message: 'The browser did not get your permission.', step: '' };
    return ask({ do: 'switch', root, name, isOn });
  };
  return (
    <section class="card" aria-label="Permissions">
      <h2>What this daemon may do here</h2>
      {switches.map((name) => (
        <label key={name} class="switch">
          <input
            type="checkbox"
            checked={daemon.switches.includes(name)}
            disabled={action.isBusy}
            onClick={(event) => {
              // The worker decides what is on, and the next view shows it.
              event.preventDefault();
              void action.run(() => change(name, !daemon.switches.includes(name)));
            }}
          />
          <span>
            <strong>{texts[name][0]}</strong>
            <small>{texts[name][1]}</small>
          </span>
        </label>
      ))}
      <ProblemBox problem={action.problem} />
      <details>
        <summary>Forget this daemon</summary>
        <p>
          To come back, this browser has to be paired again. The daemon is not told: its operator revokes the
          device.
        </p>
        <button type="button" class="danger" onClick={() => action.run(() => ask({ do: 'forget', root }))}>
          Yes, forget it
        </button>
      </details>
    </section>
  );
}

guardPresses();
render(<Options />, document.getElementById('main')!);
