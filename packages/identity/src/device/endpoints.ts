// The addresses at which a device looks for its daemon, in order: those that a person set by hand; otherwise those that
// the daemon announced, and last the address at pairing. Each kind has its own secret beside the enrollment, so that a
// renewal, an announcement and a person's command at the same time do not overwrite each other.

import { isCanonicalEndpoint } from '../endpoint.ts';
import { type EndpointLists, listenerKinds, MAX_ENDPOINTS, parseEndpointLists } from '../endpoint-lists.ts';
import { hasCode } from '../errors.ts';
import type { SecretReader, SecretStore } from '../secret-store/port.ts';
import { isWebEndpoint } from '../web-endpoint.ts';
import { dropSecret } from './drop-secret.ts';

export interface KnownEndpoints {
  /** The latest announcement of the daemon. */
  readonly told?: EndpointLists;
  /** Set by a person. For these listeners, the device tries no other addresses. */
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

/** Empty if the daemon does not serve QUIC. */
export function quicEndpoints({ byHand, told, quicAddress }: Reached): readonly string[] {
  return byHand?.quic ?? [...new Set([...(told?.quic ?? []), ...(quicAddress ? [quicAddress] : [])])];
}

/** URLs. Empty where the daemon is not known to serve channels. */
export function webEndpoints({ byHand, told, webAddress }: Reached): readonly string[] {
  return byHand?.web ?? [...new Set([...(told?.web ?? []), ...(webAddress ? [webAddress] : [])])];
}

/** The same endpoints, in an order in which this one is tried after the others of its list. */
export function tryLast<E extends KnownEndpoints>(enrollment: E, endpoint: string): E {
  const { told, byHand } = enrollment;
  return {
    ...enrollment,
    ...(told && { told: withLast(told, endpoint) }),
    ...(byHand && { byHand: withLast(byHand, endpoint) }),
  };
}

function withLast<L extends Partial<EndpointLists>>(lists: L, endpoint: string): L {
  const moved = Object.entries(lists).map(([kind, list]) => [
    kind,
    [...list.filter((each) => each !== endpoint), ...list.filter((each) => each === endpoint)],
  ]);
  return Object.fromEntries(moved) as L;
}

const nameOf = (root: string, what: 'told' | 'by-hand') => `endpoints/${root}/${what}`;

/**
 * Stores an announcement of the daemon, received over an authenticated channel. Ignores lists that cannot be read, so
 * that the device does not lose a certificate over them.
 * @returns the enrollment with its present endpoints.
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
  if (isEmpty ? known : !isSame(told, known))
    await store(secrets, nameOf(enrollment.root, 'told'), isEmpty ? undefined : told);
  return (isEmpty ? rest : { ...rest, told }) as E;
}

/** @param byHand undefined: use the daemon's announcements again. */
export async function storeEndpointsByHand(
  secrets: SecretStore,
  root: string,
  byHand: Partial<EndpointLists> | undefined,
): Promise<void> {
  await store(secrets, nameOf(root, 'by-hand'), byHand);
}

/**
 * Ignores a record that cannot be read: the device still has the address at pairing, and the daemon authenticates
 * itself at any address.
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

const isSame = (told: EndpointLists, known: EndpointLists | undefined): boolean =>
  listenerKinds.every((kind) => told[kind].join(' ') === known?.[kind].join(' '));

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

const isCanonical = (kind: string, text: string): boolean =>
  kind === 'web' ? isWebEndpoint(text) : isCanonicalEndpoint(text);

function isLists(value: unknown): value is Partial<EndpointLists> {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).every(
    ([kind, list]) =>
      listenerKinds.some((each) => each === kind) &&
      Array.isArray(list) &&
      list.length <= MAX_ENDPOINTS &&
      list.every((each) => typeof each === 'string' && isCanonical(kind, each)),
  );
}
