// The page for a browser that is not logged in: how to log in.

import { Problem } from '../parts/elements.tsx';
import { signedOutReason } from '../session.ts';

export function SignedOut() {
  return (
    <main class="signed-out">
      <img src={new URL('../icon.svg', import.meta.url).href} alt="" width="56" height="56" />
      <h1>Palyra console</h1>
      <Problem text={signedOutReason.value} />
      <p>
        To log in, run this command on the daemon's machine, as the user of the daemon, and open the link that
        it prints. The link works once, within two minutes.
      </p>
      <pre>palyra console</pre>
    </main>
  );
}
