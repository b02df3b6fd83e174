// The records that a daemon announces on the local network, and how a device reads them: DNS-SD (RFC 6763) in multicast DNS
// (RFC 6762). Nothing here is authenticated. A daemon found this way still has to prove that it knows the pairing code, and the
// operator still compares the words.

import { BlockList, isIP, isIPv4 } from 'node:net';
import { parseTrustDomain } from '@palyra/identity/certificate';
import { formatEndpoint } from '@palyra/identity/values';
import dnsPacket, { type Answer, type DecodedPacket, type Question } from 'dns-packet';

export const multicastPort = 5353;
export const multicastGroups = { IPv4: '224.0.0.251', IPv6: 'ff02::fb' } as const;
export const serviceName = '_palyra._tcp.local';
const allServices = '_services._dns-sd._udp.local';
const trustDomainKey = 'td=';

/** Longer packets are ignored. */
const maxPacketBytes = 9_000;
/** Limits for one packet. A name that is a single pointer can take as long to read as 126 labels, so limiting bytes is not enough. */
const maxQuestions = 16;
const maxRecords = 64;
/** Addresses announced for one interface. */
const maxAddresses = 16;
/** RFC 6762, 10. */
const [hostLifeS, otherLifeS] = [120, 4_500];

export interface Announced {
  readonly daemonId: string;
  readonly trustDomain: string;
  /** Port of the pairing listener. */
  readonly port: number;
}

/** Both names contain the daemon's id, so they are unique and need no probing. */
const namesOf = (daemonId: string) => ({
  instance: `Palyra ${daemonId.slice(-8)}.${serviceName}`,
  host: `palyra-${daemonId.toLowerCase()}.local`,
});

/** @param lives 0 means that the daemon is leaving. */
export function recordsOf(
  { daemonId, trustDomain, port }: Announced,
  addresses: readonly string[],
  lives: { readonly hostS: number; readonly otherS: number } = { hostS: hostLifeS, otherS: otherLifeS },
): Answer[] {
  const { instance, host } = namesOf(daemonId);
  const ofHost = { name: host, ttl: lives.hostS, flush: true };
  return [
    { type: 'PTR', name: serviceName, ttl: lives.otherS, data: instance },
    {
      type: 'SRV',
      name: instance,
      ttl: lives.hostS,
      flush: true,
      data: { target: host, port, priority: 0, weight: 0 },
    },
    {
      type: 'TXT',
      name: instance,
      ttl: lives.otherS,
      flush: true,
      data: [`${trustDomainKey}${trustDomain}`],
    },
    ...addresses
      .slice(0, maxAddresses)
      .map((data): Answer => ({ ...ofHost, type: isIPv4(data) ? 'A' : 'AAAA', data })),
  ];
}

/** Whether a question is about this daemon. */
export function asksFor({ name }: Question, { daemonId }: Announced): boolean {
  const { instance, host } = namesOf(daemonId);
  return [serviceName, instance, host].some((own) => isSame(name, own));
}

/** Whether a question asks for the list of services. */
export const asksForServices = ({ name }: Question): boolean => isSame(name, allServices);

export const serviceRecord: Answer = { type: 'PTR', name: allServices, ttl: otherLifeS, data: serviceName };

/** Offsets of the counts of questions, answers, authorities and additionals in the header (RFC 1035, 4.1.1). */
const countsAt = [4, 6, 8, 10] as const;
const headerBytes = 12;

/** Undefined if the packet is not a DNS answer, or holds more than a daemon would send. */
export function decodeAnswer(bytes: Buffer): DecodedPacket | undefined {
  if (bytes.length < headerBytes || isQuery(bytes)) return undefined;
  const [questions, ...records] = countsAt.map((at) => bytes.readUInt16BE(at)) as [number, ...number[]];
  if (questions > maxQuestions || records.reduce((sum, each) => sum + each) > maxRecords) return undefined;
  return decode(bytes);
}

/** Reads only the first questions. Undefined if the packet is not a DNS query. */
export function decodeQuery(
  bytes: Buffer,
): { readonly id: number; readonly questions: Question[] } | undefined {
  if (bytes.length < headerBytes || bytes.length > maxPacketBytes || !isQuery(bytes)) return undefined;
  const begin = Buffer.from(bytes);
  for (const at of countsAt)
    begin.writeUInt16BE(at === 4 ? Math.min(bytes.readUInt16BE(at), maxQuestions) : 0, at);
  const packet = decode(begin);
  return packet && { id: packet.id ?? 0, questions: packet.questions ?? [] };
}

export const isQuery = (bytes: Buffer): boolean => (bytes[2]! & 0x80) === 0;

function decode(bytes: Buffer): DecodedPacket | undefined {
  if (bytes.length > maxPacketBytes) return undefined;
  try {
    return dnsPacket.decode(bytes);
  } catch {
    return undefined;
  }
}

export const encodeQuery = (): Buffer =>
  dnsPacket.encode({ type: 'query', questions: [{ type: 'PTR', name: serviceName }] });

export interface FoundDaemon {
  readonly trustDomain: string;
  /** host:port of its pairing listener. With several addresses, the one most likely to be reachable. */
  readonly address: string;
}

/**
 * The daemons in one answer. Skips records that no daemon would send.
 * @param zone name of the interface on which the answer arrived.
 */
export function readAnswer(packet: DecodedPacket, zone: string): FoundDaemon[] {
  const records = [...(packet.answers ?? []), ...(packet.additionals ?? [])].slice(0, maxRecords);
  const found: FoundDaemon[] = [];
  for (const record of records) {
    if (record.type !== 'PTR' || !isSame(record.name, serviceName) || record.ttl === 0) continue;
    const trustDomain = trustDomainOf(records, record.data);
    const address = addressOf(records, record.data, zone);
    if (trustDomain && address) found.push({ trustDomain, address });
  }
  return found;
}

function trustDomainOf(records: readonly Answer[], instance: string): string | undefined {
  for (const record of records) {
    if (record.type !== 'TXT' || !isSame(record.name, instance)) continue;
    const texts = [record.data].flat().map((each) => each.toString());
    const text = texts.find((each) => each.startsWith(trustDomainKey))?.slice(trustDomainKey.length);
    try {
      return text && parseTrustDomain(text);
    } catch {
      return undefined;
    }
  }
  return undefined;
}

function addressOf(records: readonly Answer[], instance: string, zone: string): string | undefined {
  const service = records.find((each) => each.type === 'SRV' && isSame(each.name, instance));
  if (service?.type !== 'SRV') return undefined;
  const { target, port } = service.data;
  if (port === 0) return undefined;
  const hosts = records.flatMap((each) =>
    (each.type === 'A' || each.type === 'AAAA') && isSame(each.name, target) && isElsewhere(each.data)
      ? [each.data]
      : [],
  );
  const isLocal = (host: string) => /^fe[89ab]/i.test(host);
  const host = hosts.find(isIPv4) ?? hosts.find((each) => !isLocal(each)) ?? hosts[0];
  return host && formatEndpoint({ host: isLocal(host) ? `${host}%${zone}` : host, port });
}

/**
 * Addresses that no daemon on the network can have. Connecting to them would reach the device's own machine, or every machine.
 * Node checks an IPv4-mapped IPv6 address as IPv4.
 */
const nowhere = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['224.0.0.0', 3],
] as const)
  nowhere.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of [
  ['::', 96],
  ['ff00::', 8],
] as const)
  nowhere.addSubnet(network, bits, 'ipv6');

const isElsewhere = (host: string) =>
  isIP(host) !== 0 && !nowhere.check(host, isIPv4(host) ? 'ipv4' : 'ipv6');

const isSame = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();
