// What the person has switched on for each daemon, and why a daemon is no longer tried. What cannot be read is off.

import { permissionOf } from './permissions.ts';
import { type Problem, type Switch, switches } from './view.ts';

export interface Settings {
  readonly switches: readonly Switch[];
  /** The daemon's last word. It is not tried again until the person asks for it. */
  readonly ended?: Problem;
}

/** Set when this browser is paired for the first time. It is kept apart from the keys, which a person may clear. */
const pairedKey = 'was-paired';

export async function wasPaired(): Promise<boolean> {
  return (await chrome.storage.local.get<Record<string, unknown>>(pairedKey))[pairedKey] === true;
}

export async function rememberPaired(isPaired: boolean): Promise<void> {
  await chrome.storage.local.set({ [pairedKey]: isPaired });
}

const keyOf = (root: string) => `daemon/${root}`;

export async function readSettings(root: string): Promise<Settings> {
  const key = keyOf(root);
  const { [key]: stored } = await chrome.storage.local.get<Record<string, unknown>>(key);
  const { switches: on, ended } = (stored ?? {}) as { switches?: unknown; ended?: Problem };
  const chosen = Array.isArray(on) ? switches.filter((each) => on.includes(each)) : [];
  return { switches: await permitted(chosen), ...(ended && { ended }) };
}

export async function writeSettings(root: string, settings: Settings): Promise<void> {
  await chrome.storage.local.set({ [keyOf(root)]: settings });
}

export async function dropSettings(root: string): Promise<void> {
  await chrome.storage.local.remove(keyOf(root));
}

/** The daemon is tried again. */
export async function dropEnd(root: string): Promise<void> {
  const { switches: on } = await readSettings(root);
  await writeSettings(root, { switches: on });
}

/** Those that the browser permits as well: the person can take a permission back in the browser's settings. */
async function permitted(chosen: readonly Switch[]): Promise<Switch[]> {
  const allowed: Switch[] = [];
  for (const each of chosen) {
    const permission = permissionOf[each];
    if (!permission || (await chrome.permissions.contains({ permissions: [permission] }))) allowed.push(each);
  }
  return allowed;
}
