// This browser's session. Scripts cannot see the cookie. They can use the key below but not export it. The page token
// is a variable and ends with the page. See daemon/src/console-sessions.ts.

import { signal } from '@preact/signals';

export type SignedIn = 'starting' | 'in' | 'out';

export const signedIn = signal<SignedIn>('starting');
/** The reason for the sign-out, for the person. */
export const signedOutReason = signal('');

let pageToken = '';
export const currentPageToken = (): string => pageToken;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;

/** Signs in with the secret of a login link, or else resumes the session of this browser. */
export async function signIn(): Promise<void> {
  const secret = takeSecret();
  try {
    if (secret) await login(secret);
    else if (!(await resume())) signedIn.value = 'out';
  } catch (error) {
    signedOutReason.value = (error as Error).message;
    signedIn.value = 'out';
  }
}

/** Removes the secret from the address bar and the history first. */
function takeSecret(): string | undefined {
  const secret = /^#login=([\w-]+)$/.exec(location.hash)?.[1];
  if (secret) history.replaceState(null, '', location.pathname);
  return secret;
}

async function login(secret: string): Promise<void> {
  const pair = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const key = base64url(await crypto.subtle.exportKey('spki', pair.publicKey));
  const opened = await post<{ pageToken: string }>('login', { secret, key });
  pageToken = opened.pageToken;
  await withStore('readwrite', (store) => store.put(pair.privateKey, 'page'));
  signedIn.value = 'in';
}

/** Fetches the page token of the session again. @returns false if there is no session to resume. */
export async function resume(): Promise<boolean> {
  const key = await withStore('readonly', (store) => store.get('page'));
  if (!(key instanceof CryptoKey)) return false;
  try {
    const { challenge } = await post<{ challenge: string }>('challenge', {});
    const signed = new TextEncoder().encode(`palyra-console-v1 resume\n${location.origin}\n${challenge}`);
    const signature = base64url(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key, signed));
    pageToken = (await post<{ pageToken: string }>('resume', { challenge, signature })).pageToken;
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
  signedIn.value = 'in';
  return true;
}

export async function logout(): Promise<void> {
  // Without key and token, nobody can continue the session here, even if the daemon does not receive the logout.
  const told = post('logout', {}).then(
    () => 'You have logged out.',
    (error) =>
      error instanceof Refused
        ? 'You have logged out.'
        : 'The daemon does not answer. It ends the session automatically, 15 minutes after its last use.',
  );
  await withStore('readwrite', (store) => store.delete('page'));
  endSession(await told);
}

export function endSession(reason: string): void {
  pageToken = '';
  signedOutReason.value = reason;
  signedIn.value = 'out';
}

class Refused extends Error {}

async function post<T>(what: string, body: object): Promise<T> {
  const response = await fetch(`/session/${what}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'connect-protocol-version': '1',
      ...(pageToken && { 'palyra-page': pageToken }),
    },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.message);
  return answer;
}

/** IndexedDB is the only browser storage that keeps a key without exposing it. */
async function withStore<T>(
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const opening = indexedDB.open('palyra', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore('keys');
  const database = await settled(opening);
  try {
    return await settled(work(database.transaction('keys', mode).objectStore('keys')));
  } finally {
    database.close();
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function base64url(buffer: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}
