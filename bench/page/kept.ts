// The figures that were kept, and the page that is made from them.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KeptFigures, pages } from './page.ts';

const docs = join(import.meta.dirname, '../../docs');
const file = join(docs, 'performance/figures.json');

export const readFigures = (): KeptFigures => JSON.parse(readFileSync(file, 'utf8'));

/** Keeps these instead of earlier ones with their names. */
export function keepFigures(figures: KeptFigures): void {
  const all = { ...readFigures(), ...figures };
  const sorted = Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify(sorted, null, 1)}\n`);
}

export function writePages(): void {
  mkdirSync(join(docs, 'performance'), { recursive: true });
  for (const [path, content] of pages(readFigures())) writeFileSync(join(docs, path), content);
}
