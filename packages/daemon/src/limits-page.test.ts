// docs/limits.md against the code: every row's default is what its constant says, and no configurable limit is missing.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultPairingLimits } from '@palyra/identity/values';
import { defaultHttp2Limits } from '@palyra/rpc/transport';
import { defaultChannelLimits } from './channels/limits.ts';
import { parseConfig } from './config.ts';

const repository = new URL('../../../', import.meta.url);

interface Row {
  readonly limit: string;
  readonly shown: number;
  /** The field of config.json, if there is one. */
  readonly setting: string | undefined;
  readonly file: string;
  readonly constant: string;
}

const rows: Row[] = readFileSync(new URL('docs/limits.md', repository), 'utf8')
  .split('\n')
  .filter((line) => /^\| (?!limit |-)/.test(line))
  .map((line) => {
    const [, limit = '', shown = '', setting = '', place = ''] = line.split('|').map((cell) => cell.trim());
    const [, file = '', constant = ''] = /^`([\w./-]+)` `([\w.]+)`$/.exec(place) ?? assert.fail(line);
    return { limit, shown: quantity(shown), setting: /`(\w+)`/.exec(setting)?.[1], file, constant };
  });

test('every default on the limits page equals the one in the code', () => {
  assert.ok(rows.length > 40, `only ${rows.length} rows were found`);
  for (const { limit, shown, file, constant } of rows) {
    assert.equal(shown, valueInCode(file, constant), `${limit}: ${file} ${constant}`);
  }
});

test('the limits page states each limit once', () => {
  const places = rows.map(({ file, constant }) => `${file} ${constant}`);
  assert.deepEqual(
    places.filter((place, index) => places.indexOf(place) !== index),
    [],
  );
});

test('every setting on the limits page is accepted in config.json, with that default', () => {
  const settings = { ...defaultPairingLimits, ...present(parseConfig({}, 'a test').limits) };
  for (const { limit, shown, setting } of rows) {
    if (setting === undefined) continue;
    assert.equal(shown, settings[setting as keyof typeof settings], limit);
    const set = parseConfig({ limits: { [setting]: shown } }, 'a test').limits;
    assert.equal(set[setting as keyof typeof set], shown, `${setting} can be set`);
  }
});

test('the page has every limit that can be set or that a listener has', () => {
  const listed = new Set(rows.flatMap(({ constant, setting }) => [constant, setting]));
  const settings = parseConfig({}, 'a test').limits;
  for (const limits of [settings, defaultPairingLimits, defaultHttp2Limits, defaultChannelLimits]) {
    for (const name of Object.keys(limits)) assert.ok(listed.has(name), name);
  }
});

function present<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** A number with or without a unit, in milliseconds or bytes. */
function quantity(text: string): number {
  const [, number, unit = ''] = /^(\d+)(?: (\w+))?$/.exec(text) ?? assert.fail(`not a quantity: ${text}`);
  const times: Record<string, number> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };
  const sizes: Record<string, number> = { bytes: 1, KiB: 1024, MiB: 1024 ** 2 };
  const factor = { ...times, ...sizes, characters: 1, '': 1 }[unit];
  return Number(number) * (factor ?? assert.fail(`unknown unit ${unit}`));
}

/** The value of a constant or field in a source file, or the number that it is compared with. */
function valueInCode(file: string, name: string): number {
  const source = readFileSync(new URL(`packages/${file}`, repository), 'utf8');
  const value = evaluate(source, name);
  if (name.endsWith('Seconds')) return value * 1000;
  return name.endsWith('_KIB') ? value * 1024 : value;
}

/** Evaluates numbers, products, quotients and constants of the same file. */
function evaluate(source: string, name: string): number {
  if (/^\d[\d_]*$/.test(name)) return Number(name.replaceAll('_', ''));
  const value = '(?:(?:positive|timerMs)(?:\\.max\\(\\w+\\))?\\.default\\()?([\\w */]+)';
  const escaped = name.replace('.', '\\.');
  const definition = new RegExp(
    `^.*?(?:const ${escaped} =|\\b${escaped}(?::| >)) ${value}(?:;|\\)?,|\\) \\{)$`,
    'gm',
  );
  const found = [...source.matchAll(definition)].filter(([line]) => !line.startsWith('  readonly '));
  assert.equal(found.length, 1, `${name} is defined ${found.length} times`);
  const [first = '', ...rest] = found[0]![1]!.split(/ (?=[*/] )/);
  return rest.reduce(
    (product, part) => {
      const operand = evaluate(source, part.slice(2));
      return part.startsWith('*') ? product * operand : product / operand;
    },
    evaluate(source, first),
  );
}
