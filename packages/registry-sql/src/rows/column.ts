// Reads one column of a row, strictly: the contents of the database are input too (a restored backup, an edited file).

import { IdentityError } from '@palyra/identity';
import type { Ulid } from '@palyra/identity/values';

export type Row = Readonly<Record<string, unknown>>;
export type Read<T> = (row: Row, column: string) => T;

export const text: Read<string> = (row, column) => {
  const value = row[column];
  return typeof value === 'string' ? value : unreadable(column, value);
};

/** The id of a device, a pairing or an authority. Written by this package only, so its form is believed. */
export const id = (row: Row, column: string): Ulid => text(row, column) as Ulid;

export const integer: Read<number> = (row, column) => {
  const value = row[column];
  return Number.isSafeInteger(value) ? (value as number) : unreadable(column, value);
};

export const bytes: Read<Uint8Array> = (row, column) => {
  const value = row[column];
  return value instanceof Uint8Array ? value : unreadable(column, value);
};

export const instant: Read<Date> = (row, column) => {
  const date = new Date(integer(row, column));
  return Number.isNaN(date.getTime()) ? unreadable(column, row[column]) : date;
};

/** @param names a record, so that the compiler reports a missing name. */
export function oneOf<T extends string>(names: Readonly<Record<T, unknown>>): Read<T> {
  return (row, column) => {
    const value = row[column];
    return typeof value === 'string' && Object.hasOwn(names, value)
      ? (value as T)
      : unreadable(column, value);
  };
}

/** @param parse returns undefined for invalid data. */
export function parsed<T>(parse: (text: string) => T | undefined): Read<T> {
  return (row, column) => parse(text(row, column)) ?? unreadable(column, row[column]);
}

export function optional<T>(read: Read<T>): Read<T | undefined> {
  return (row, column) => (row[column] === null ? undefined : read(row, column));
}

/** The number for a date in a column. */
export function milliseconds(date: Date): number {
  const value = date.getTime();
  if (Number.isNaN(value)) throw new TypeError('cannot store an invalid date');
  return value;
}

export function unreadable(column: string, value: unknown): never {
  const found = value === null ? 'nothing' : typeof value;
  throw new IdentityError(
    'STORE_FAILED',
    `The registry has an unreadable row: column "${column}" holds ${found}. ` +
      'Restore the registry from a backup: nothing else repairs it.',
  );
}
