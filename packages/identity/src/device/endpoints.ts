// Where a device looks for its daemon, in order: what a person has set by hand; or else what the daemon told, and last where
// it was at pairing. Kept beside the enrollment, each in a secret of its own: a renewal, a word of the daemon and a person's
// command may come at one time, and none writes over another's.

import { isDeepStrictEqual } from 'node:util';
import { isCanonicalEndpoint } from '../endpoint.ts';
import { type EndpointLists, listenerKinds, MAX_ENDPOINTS, parseEndpointLists } from '../endpoint-lists.ts';
import { hasCode } from '../errors.ts';
import type { SecretReader, SecretStore } from '../secret-store/port.ts';
import { dropSecret } from './drop-secret.ts';

export interface KnownEndpoints {
  /** The daemon's own word, at its newest. */
  readonly told?: EndpointLists;
  /** Set by a person: nothing else is tried for these listeners. */
  readonly byHand?: Partial<EndpointLists>;
}

interface Reached extends KnownEndpoints {
  readonly address: string;
  readonly nodeAddress: string;
  readonly quicAddress?: string;
  readonly webAddress?: string;
}

export function pairingEndpoints({ byHand, told, address }: Reached): readonly string[] {
  return byHand?.pairing ?? [...new Set([...(told?.pairing ?? []), address])];
}

export function nodeEndpoints({ byHand, told, nodeAddress }: Reached): readonly string[] {
  return byHand?.node ?? [...new Set([...(told?.node ?? []), nodeAddress])];
}

/** Empty where the daemon serves no QUIC. */
export function quicEndpoints({ byHand, told, quicAddress }: Reached): readonly string[] {
  return byHand?.quic ?? [...new Set([...(told?.quic ?? []), ...(quicAddress ? [quicAddress] : [])])];
}

/** URLs. Empty where the daemon is not known to serve channels. */
export function webEndpoints({ byHand, told, webAddress }: Reached): readonly string[] {
  return byHand?.web ?? [...new Set([...(told?.web ?? []), ...(webAddress ? [webAddress] : [])])];
}

const nameOf = (root: string, what: 'told' | 'by-hand') => `endpoints/${root}/${what}`;

/**
 * Keeps what the daemon told over a channel that has proven it. Lists that cannot be read change nothing: a certificate is not
 * lost over them.
 * @returns the enrollment with what is known from now on.
 */
export async function storeToldEndpoints<E extends KnownEndpoints & { readonly root: string }>(
  secrets: SecretStore,
  enrollment: E,
  lists: Partial<EndpointLists> | undefined,
): Promise<E> {
  const told = readable(lists);
  if (!told) return enrollment;
  const { told: known, ...rest } = enrollment;
  const isEmpty = listenerKinds.every((kind) => told[kind].length === 0);
  if (isEmpty ? known : !isDeepStrictEqual(told, known))
    await store(secrets, nameOf(enrollment.root, 'told'), isEmpty ? undefined : told);
  return (isEmpty ? rest : { ...rest, told }) as E;
}

/** @param byHand undefined: what the daemon says is followed again. */
export async function storeEndpointsByHand(
  secrets: SecretStore,
  root: string,
  byHand: Partial<EndpointLists> | undefined,
): Promise<void> {
  await store(secrets, nameOf(root, 'by-hand'), byHand);
}

/**
 * A record that cannot be read is none: the device may know its daemon for all that, which is where it was at pairing, and
 * which proves itself wherever it is.
 */
export async function loadEndpoints(secrets: SecretReader, root: string): Promise<KnownEndpoints> {
  const [told, byHand] = [
    await load(secrets, nameOf(root, 'told')),
    await load(secrets, nameOf(root, 'by-hand')),
  ];
  const isSet = byHand && Object.values(byHand).every((list) => list.length > 0);
  return { ...(told && { told: { ...noEndpoints, ...told } }), ...(isSet && { byHand }) };
}

const noEndpoints: EndpointLists = { pairing: [], node: [], quic: [], web: [] };

export async function dropEndpoints(secrets: SecretStore, root: string): Promise<void> {
  for (const what of ['told', 'by-hand'] as const) await dropSecret(secrets, nameOf(root, what));
}

function readable(lists: Partial<EndpointLists> | undefined): EndpointLists | undefined {
  try {
    return lists && parseEndpointLists(lists);
  } catch (error) {
    if (!hasCode(error, 'MESSAGE_INVALID')) throw error;
    return undefined;
  }
}

async function store(secrets: SecretStore, name: string, value: object | undefined): Promise<void> {
  if (value) await secrets.write(name, new TextEncoder().encode(JSON.stringify(value)));
  else await dropSecret(secrets, name);
}

async function load(secrets: SecretReader, name: string): Promise<Partial<EndpointLists> | undefined> {
  try {
    const lists: unknown = JSON.parse(new TextDecoder().decode(await secrets.read(name)));
    return isLists(lists) ? lists : undefined;
  } catch (error) {
    const isNone = hasCode(error, 'SECRET_NOT_FOUND') || hasCode(error, 'SECRET_CORRUPT');
    if (isNone || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isLists(value: unknown): value is Partial<EndpointLists> {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).every(
    ([kind, list]) =>
      listenerKinds.some((each) => each === kind) &&
      Array.isArray(list) &&
      list.length <= MAX_ENDPOINTS &&
      list.every((each) => typeof each === 'string' && isCanonicalEndpoint(each)),
  );
}
