// The operator's passkeys: which there are, one more, and one less.

import type { Passkey } from '@palyra/rpc/admin';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { useNoticed } from '../deliberate.ts';
import { generation } from '../live.ts';
import { Confirm } from '../parts/confirm.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Problem, Tag } from '../parts/elements.tsx';
import { useTask } from '../parts/task.ts';
import { makePasskey } from '../passkeys.ts';
import { formatDateTime } from '../time.ts';

export function PasskeysPage() {
  const [passkeys, setPasskeys] = useState<readonly Passkey[]>();
  const [problem, setProblem] = useState('');
  const [asking, setAsking] = useState<'add' | Passkey>();
  const load = useCallback(
    () =>
      admin.listPasskeys({}).then(
        (reply) => {
          setPasskeys(reply.passkeys);
          setProblem('');
        },
        (error) => setProblem(problemText(error)),
      ),
    [],
  );
  useEffect(() => void load(), [load, generation.value]);
  const done = () => {
    setAsking(undefined);
    void load();
  };
  return (
    <>
      <header class="page with-actions">
        <div>
          <h1>Passkeys</h1>
          <p>
            With a passkey, this page asks for it before each act that lets a device in, gives rights, or
            revokes many.
          </p>
        </div>
        <div class="actions">
          <button type="button" class="primary" onClick={() => setAsking('add')}>
            Register a passkey…
          </button>
        </div>
      </header>
      <Problem text={problem} />
      {passkeys && (
        <section class="card stack" aria-label="Passkeys">
          <p>
            {passkeys.length > 0 ? (
              <Tag tone="good">The console asks for a passkey</Tag>
            ) : (
              <Tag tone="calm">No passkey yet: a session is enough for every act</Tag>
            )}
          </p>
          <ul class="plain">
            {passkeys.map((each) => (
              <li key={each.id}>
                <bdi>{each.name}</bdi>
                <span class="faint">registered {formatDateTime(each.createdAtMs)}</span>
                <button type="button" aria-label={`Remove ${each.name}`} onClick={() => setAsking(each)}>
                  Remove…
                </button>
              </li>
            ))}
          </ul>
          <p class="faint">
            Revoking one device never asks. <code>palyra</code> at the daemon's machine does not ask either:
            if all passkeys are lost, <code>palyra passkeys remove ID</code> there removes them.
          </p>
        </section>
      )}
      {asking === 'add' && <Add onDone={done} onClose={() => setAsking(undefined)} />}
      {typeof asking === 'object' && (
        <Confirm
          title={
            <>
              Remove the passkey <bdi>{asking.name}</bdi>?
            </>
          }
          consequences={[
            'It confirms no act any more.',
            ...(passkeys?.length === 1 ? ['It is the last one: the console then asks for none.'] : []),
          ]}
          yes="Remove"
          onYes={async () => {
            await admin.removePasskey({ id: asking.id });
            void load();
          }}
          onClose={() => setAsking(undefined)}
        />
      )}
    </>
  );
}

function Add({ onDone, onClose }: { onDone: () => void; onClose: () => void }) {
  const [name, setName] = useState('');
  const isNoticed = useNoticed();
  const task = useTask();
  return (
    <Dialog title="Register a passkey" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void task.run(async () => {
            await makePasskey(admin, name);
            onDone();
          });
        }}
      >
        <label>
          A name for it
          <input
            value={name}
            maxLength={64}
            required
            placeholder="Security key in the drawer"
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <p class="faint">
          The browser then asks where the passkey is to live. If you have one already, it is asked for first
          or afterwards.
        </p>
        <Problem text={task.problem} />
        <div class="actions">
          <button type="submit" class="primary" disabled={!isNoticed || task.busy}>
            Register
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
