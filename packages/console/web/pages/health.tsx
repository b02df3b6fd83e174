// The state of the daemon, now and in the last hour.

import { dueWorks, type GetHealthResponse, type GetStatusResponse, listenerNames } from '@palyra/rpc/admin';
import { Fragment } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { admin, problemText, withStep } from '../admin.ts';
import { generation, now, status } from '../live.ts';
import { Chart } from '../parts/chart.tsx';
import { Problem } from '../parts/elements.tsx';
import { span } from '../time.ts';

const refreshMs = 5_000;

export function Health() {
  const [health, setHealth] = useState<GetHealthResponse>();
  const [problem, setProblem] = useState('');
  useEffect(() => {
    const load = () =>
      admin.getHealth({}).then(
        (reply) => {
          setHealth(reply);
          setProblem('');
        },
        (error) => setProblem(problemText(error)),
      );
    void load();
    const timer = setInterval(load, refreshMs);
    return () => clearInterval(timer);
  }, [generation.value]);
  const daemon = status.value;
  return (
    <>
      <header class="page">
        <h1>Health</h1>
        <p>
          {daemon &&
            `Version ${daemon.version}, running for ${span(now.value - Number(daemon.startedAtMs))}.`}
        </p>
      </header>
      <Problem text={problem} />
      {daemon?.problems.map(({ part, code, message }) => (
        <Problem key={part} text={withStep(message, code)} />
      ))}
      {daemon && (
        <section class="card" aria-label="Listeners">
          <h2>Listeners</h2>
          <dl class="pairs">
            {daemon.listeners.map(({ name, address }) => (
              <Fragment key={name}>
                <dt>{listenerNames.show(name)}</dt>
                <dd class="mono">{address}</dd>
              </Fragment>
            ))}
          </dl>
        </section>
      )}
      {daemon && daemon.daemons.length > 0 && <Fleet status={daemon} />}
      {health && (
        <>
          <Charts title="Now" health={health} counter={false} />
          <Charts title="Counted since the start" health={health} counter />
        </>
      )}
    </>
  );
}

/** The daemons that share the registry. */
function Fleet({ status }: { status: GetStatusResponse }) {
  const doneBy = (id: string) =>
    status.dueWork
      .filter(({ daemon }) => daemon === id)
      .map(({ what, atMs }) => `${dueWorks.show(what)} ${span(now.value - Number(atMs))} ago`);
  return (
    <section class="card" aria-label="Daemons">
      <h2>Daemons</h2>
      {status.daemons.map((each) => (
        <section key={each.id} aria-label={`Daemon ${each.id}`}>
          <h3 class="mono">{each.id}</h3>
          <dl class="pairs">
            <dt>State</dt>
            <dd>
              {each.isGone ? 'Gone: ' : ''}
              {each.isThis ? 'this daemon' : `seen ${span(now.value - Number(each.seenAtMs))} ago`}
            </dd>
            <dt>Version</dt>
            <dd>{each.version}</dd>
            <dt>Endpoints</dt>
            <dd class="mono">{each.endpoints.join(', ')}</dd>
            <dt>Devices</dt>
            <dd>{`${each.devices} connected, ${each.connections} connections`}</dd>
            <dt>Database</dt>
            <dd>{`${each.databaseMs.toFixed(1)} ms`}</dd>
            <dt>Last to do</dt>
            <dd>{doneBy(each.id).join(', ') || 'nothing'}</dd>
          </dl>
          {each.isGone && <Forget id={each.id} />}
        </section>
      ))}
    </section>
  );
}

function Forget({ id }: { id: string }) {
  const [problem, setProblem] = useState('');
  const forget = () => admin.forgetDaemon({ id }).catch((error) => setProblem(problemText(error)));
  return (
    <>
      <button type="button" onClick={forget}>
        Forget this daemon
      </button>
      <Problem text={problem} />
    </>
  );
}

function Charts({ title, health, counter }: { title: string; health: GetHealthResponse; counter: boolean }) {
  const series = health.series.filter((each) => each.counter === counter);
  return (
    <section aria-label={title}>
      <h2 class="quiet">{title}</h2>
      <ul class="tiles">
        {series.map((each) => (
          <li key={each.name} class="tile">
            <h3>{each.title}</h3>
            <p class="big">{formatValue(each.name, each.values.at(-1) ?? 0)}</p>
            <Chart values={each.values} atMs={health.atMs} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function formatValue(name: string, value: number): string {
  return name.endsWith('_bytes') ? `${Math.round(value / 1024 / 1024)} MiB` : value.toLocaleString();
}
