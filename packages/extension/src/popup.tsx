// The popup: pairs with the first daemon, and shows how each daemon stands.

import { guardPresses } from '@palyra/console/deliberate';
import { render } from 'preact';
import { DaemonCard } from './daemon-card.tsx';
import { ProblemBox } from './elements.tsx';
import { PairForm } from './pair-form.tsx';
import { useWorker } from './use-worker.ts';

function Popup() {
  const { view, ask } = useWorker();
  if (!view) return null;
  return (
    <>
      <header class="page">
        <img src="icon-48.png" alt="" width="24" height="24" />
        <h1>Palyra</h1>
      </header>
      <ProblemBox problem={view.problem} />
      {view.daemons.map((daemon) => (
        <DaemonCard key={daemon.root} daemon={daemon} ask={ask} />
      ))}
      {view.daemons.length === 0 && !view.problem && (
        <section class="card" aria-label="Pair">
          <h2>Pair this browser</h2>
          <p class="faint">
            It is paired with no daemon.{' '}
            {view.wasCleared && 'It was before, but its data was cleared: it is a new device now. '}The
            operator shows a code, and approves this browser.
          </p>
          <PairForm ask={ask} />
        </section>
      )}
      <footer>
        <button type="button" class="link" onClick={() => void chrome.runtime.openOptionsPage()}>
          Daemons and permissions
        </button>
      </footer>
    </>
  );
}

guardPresses();
render(<Popup />, document.getElementById('main')!);
