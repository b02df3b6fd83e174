// docs/performance.md and its plots, from the figures that `npm run bench -- --save` keeps. Nobody writes them by hand.

import type { Plot } from '../measure.ts';
import { svg } from './svg.ts';

/** As in docs/performance/figures.json. */
export interface KeptFigure {
  readonly value: number;
  readonly unit: string;
  readonly meaning: string;
  readonly target?: string;
  readonly reached?: boolean;
  readonly spread?: readonly number[];
  readonly whereTheTimeGoes?: string;
  readonly parts: Readonly<Record<string, number>>;
  readonly plot?: Plot;
  readonly measured: { readonly on: string; readonly machine: string };
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
draws. The sources are in \`bench/\`.

The machines were small and shared:

${machines.map((machine) => `- ${machine}`).join('\n')}

Client and servers share them, and other work ran beside. So absolute figures are a lower bound, and what counts are the
comparisons: what is compared runs alternately within one run, and a figure is the median over the rounds. \`peers\` compares with
bare servers, each a process that demands a client's certificate over TLS 1.3 as our daemon does: Node's HTTP/2 server
(\`node\`), grpc-js, grpc-go, nginx, and OpenSSL's \`s_server\`. They check no registry, keep no audit and have no access table. A
peer that is not installed is left out, and the command says so.

## Plots

${plotted.map((name) => plotSection(name, figures[name]!)).join('\n\n')}

## Figures

| figure | measured | target | date |
| --- | --- | --- | --- |
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
  return `| [\`${name}\`](#${anchor(name)}) | ${withUnit(value, unit)} | ${goal} | ${measured.on} |`;
}

function section(name: string, figure: KeptFigure): string {
  const { meaning, parts, spread, unit, whereTheTimeGoes } = figure;
  const details = [
    ...Object.entries(parts).map(([part, value]) => `${part.replaceAll('_', ' ')} ${number(value)}`),
    ...(spread ? [`half of the rounds between ${number(spread[0]!)} and ${withUnit(spread[1]!, unit)}`] : []),
  ];
  return [
    `### ${name}`,
    `${meaning}`,
    `${command(name)}: ${withUnit(figure.value, unit)}${details.length > 0 ? `; ${details.join(', ')}.` : '.'}`,
    ...(whereTheTimeGoes ? [`Where the time goes: ${whereTheTimeGoes}`] : []),
  ].join('\n\n');
}

/** As GitHub makes it from a heading. */
const anchor = (name: string) => name.replaceAll('.', '');
const withUnit = (value: number, unit: string) =>
  unit === 'ratio' ? number(value) : `${number(value)} ${unit}`;
const number = (value: number) => new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format(value);
