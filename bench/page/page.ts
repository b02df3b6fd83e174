// docs/performance.md and its plots, from the figures that `npm run bench -- --save` keeps. Nobody writes them by hand.

import type { Plot } from '../measure.ts';
import { peerNames } from '../peers/names.ts';
import { svg } from './svg.ts';

/** As in docs/performance/figures.json. */
export interface KeptFigure {
  readonly value: number;
  readonly unit: string;
  readonly meaning: string;
  readonly target?: string;
  readonly reached?: boolean | undefined;
  readonly spread?: readonly number[];
  readonly whereTheTimeGoes?: string;
  readonly parts: Readonly<Record<string, number>>;
  readonly plot?: Plot;
  readonly measured: {
    readonly on: string;
    readonly machine: string;
    /** Processes that wanted a processor before the measurement, as the system averages them over a minute. */
    readonly load: number;
  };
}

export type KeptFigures = Readonly<Record<string, KeptFigure>>;

/** @returns each file of docs by its path there. */
export function pages(figures: KeptFigures): ReadonlyMap<string, string> {
  const names = Object.keys(figures).sort();
  const files = new Map<string, string>();
  for (const name of names) {
    const { plot } = figures[name]!;
    if (plot) files.set(plotPath(name), svg(plot));
  }
  files.set('performance.md', page(names, figures));
  return files;
}

const plotPath = (name: string) => `performance/${name.replaceAll('.', '-')}.svg`;

function page(names: readonly string[], figures: KeptFigures): string {
  const machines = [...new Set(names.map((name) => figures[name]!.measured.machine))];
  const plotted = names.filter((name) => figures[name]!.plot);
  return `# Performance

\`npm run bench -- --save\` wrote this page: it measures everything (an hour or two), keeps the figures in
[figures.json](performance/figures.json), and draws the plots. \`--only NAME\` measures some of them again, and \`--plots\` only
draws. The sources are in \`bench/\`. \`soak\` plays a share of its rounds; \`npm run soak -- growth --save\` plays all, for hours.

Measured on:

${machines.map((machine) => `- ${machine}`).join('\n')}

Client and servers share the machine, and other work ran beside: the column "load" is the number of processes that already
wanted a processor when the measurement began. So an absolute figure is a bound, not a promise, and what counts are the
comparisons: what is compared runs alternately within one run, and a figure is the median over the rounds. Processor time and
memory depend least on the other work, latency and calls per second most.

\`peers\` compares with bare servers, each a process that demands a client's certificate over TLS 1.3 as our daemon does: Node's
HTTP/2 server (\`node\`), grpc-js, grpc-go, nginx, and OpenSSL's \`s_server\`. They read no registry, keep no audit and have no
access table. They come from Debian (\`golang-go golang-google-grpc-dev golang-google-protobuf-dev nginx-light\`) and npm. A peer
that is not installed is left out, and the command says so.

A call of ours takes the server about twice the processor time of a call of Node's bare server. In a profile of the busy main
thread (64 calls of grpc-go in flight, November 2026), Node's HTTP/2, streams and events take 42 %, native code (TLS and HTTP/2)
14 %, protobuf 10 %, collections of garbage 7 %, the metrics and Connect 5 %, and everything of ours 21 %: the limits, the access
check and the answer, each below 4 %.

Of the daemon's processor time for a new connection, about two thirds are the handshake in OpenSSL and the system's sockets. Node's
TLS, HTTP/2 and sockets take 11 %, the leaf certificate, which Node makes an object of, 7 %, two reads of the registry 4 %,
collections of garbage 2 %, and everything else of ours, from the limits per source to the verdict about the chain, 8 %.

A renewal on a new connection takes as long as three or four handshakes: beside its own, there are two verifications and a
signature, eight rows with their sync, an HTTP/2 session, and a call. In a profile of the main thread, Node's TLS, HTTP/2 and sockets
take 21 %, native code outside of JavaScript 8 %, the registry with its syncs 28 %, the verifications (which wait for the thread
pool) and the signature 20 %, other cryptography and the certificate 9 %, our part of HTTP/2 and the access check 6 %, and everything
else 8 %.

Resident memory goes up and down by 20 to 30 MiB where nothing is kept, because V8, its threads and malloc keep pages that they
gave out once. What lives was counted beside (November 2026): in 21,000 connections over WebSockets the objects of V8 grew by 0.45
MiB, which was compiled code, and in 8,000 the bytes in use by malloc went from 17.0 to 16.7 MiB.

## Plots

${plotted.map((name) => plotSection(name, figures[name]!)).join('\n\n')}

## Figures

| figure | measured | target | load | date |
| --- | --: | --- | --: | --- |
${names.map((name) => row(name, figures[name]!)).join('\n')}

## What each figure means

${names.map((name) => section(name, figures[name]!)).join('\n\n')}
`;
}

const plotSection = (name: string, { plot }: KeptFigure) =>
  `![${plot!.title}](${plotPath(name)})\n\n${command(name)}`;

const command = (name: string) => `\`npm run bench -- --only ${name}\``;

function row(name: string, { value, unit, target, reached, measured }: KeptFigure): string {
  const goal = target
    ? `${target.replace('<=', 'at most').replace('>=', 'at least')}${reached ? '' : ', missed'}`
    : '';
  return `| [\`${name}\`](#${anchor(name)}) | ${withUnit(value, unit)} | ${goal} | ${measured.load} | ${measured.on} |`;
}

function section(name: string, figure: KeptFigure): string {
  const { meaning, parts, spread, unit, whereTheTimeGoes } = figure;
  const table = name.startsWith('peers.') ? peerTable(parts) : undefined;
  const details = [
    ...(table ? table.others : Object.entries(parts)).map(
      ([part, value]) => `${part.replaceAll('_', ' ')} ${number(value)}`,
    ),
    ...(spread ? [`half of the rounds between ${number(spread[0]!)} and ${withUnit(spread[1]!, unit)}`] : []),
  ];
  return [
    `### ${name}`,
    `${meaning}`,
    `${command(name)}: ${withUnit(figure.value, unit)}${details.length > 0 ? `; ${details.join(', ')}.` : '.'}`,
    ...(table ? [table.text] : []),
    ...(whereTheTimeGoes ? [`Where the time goes: ${whereTheTimeGoes}`] : []),
  ].join('\n\n');
}

/** The parts that are named after a peer, with a row for each peer; and the others. */
function peerTable(parts: KeptFigure['parts']) {
  const others = new Map(Object.entries(parts));
  const columns = new Set<string>();
  const rows = peerNames.map((name) => {
    const part = name.replace('-', '_');
    const cells = new Map<string, string>();
    for (const [key, value] of others) {
      const column = key === `share_of_${part}` ? 'palyra over it' : key.split(`${part}_`, 2)[1];
      if (column === undefined || !(key.startsWith(`${part}_`) || key === `share_of_${part}`)) continue;
      cells.set(column.replaceAll('_', ' '), number(value));
      others.delete(key);
    }
    for (const column of cells.keys()) columns.add(column);
    return { name, cells };
  });
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const shown = [...columns];
  const text = [
    line(['server', ...shown]),
    line(['---', ...shown.map(() => '--:')]),
    ...rows
      .filter(({ cells }) => cells.size > 0)
      .map(({ name, cells }) => line([`\`${name}\``, ...shown.map((column) => cells.get(column) ?? '')])),
  ].join('\n');
  return { text, others: [...others] };
}

/** As GitHub makes it from a heading. */
const anchor = (name: string) => name.replaceAll('.', '');
const withUnit = (value: number, unit: string) =>
  unit === 'ratio' ? number(value) : `${number(value)} ${unit}`;
const number = (value: number) => new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format(value);
