import { render } from 'preact';
import { App } from './app.tsx';
import { guardPresses } from './deliberate.ts';
import { startLive } from './live.ts';
import { signIn } from './session.ts';

await signIn();
startLive();
guardPresses();
render(<App />, document.getElementById('app')!);
addEventListener('hashchange', () => {
  // A login link was opened in a tab that already shows the console.
  if (location.hash.startsWith('#login=')) void signIn();
});
