// Reads and writes times and spans for people.

import { InvalidArgumentError } from 'commander';

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const maxSpanMs = 366 * unitMs.d;

/** Turns `90s`, `10m`, `2h`, `1d` into milliseconds. @throws InvalidArgumentError of commander */
export function parseSpan(text: string): number {
  const match = /^([0-9]{1,6})([smhd])$/.exec(text);
  const spanMs = match ? Number(match[1]) * unitMs[match[2] as keyof typeof unitMs] : 0;
  if (spanMs <= 0 || spanMs > maxSpanMs) {
    throw new InvalidArgumentError('Write a time as a number and a unit: 90s, 10m, 2h or 1d.');
  }
  return spanMs;
}

/** Rounded to one unit: `45 s`, `9 min`, `3 h`, `12 d`. */
export function formatSpan(spanMs: number): string {
  const span = Math.max(0, spanMs);
  if (span < 1.5 * unitMs.m) return `${Math.round(span / unitMs.s)} s`;
  if (span < 1.5 * unitMs.h) return `${Math.round(span / unitMs.m)} min`;
  if (span < 2 * unitMs.d) return `${Math.round(span / unitMs.h)} h`;
  return `${Math.round(span / unitMs.d)} d`;
}

/** A countdown to the second: `0:09`, `9:59`, `1:00:00`. */
export function formatCountdown(spanMs: number): string {
  const seconds = Math.max(0, Math.ceil(spanMs / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const last = String(seconds % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${last}` : `${minutes}:${last}`;
}

/** The last time that Date can represent (ECMA-262 21.4.1.1). */
const lastMs = 8.64e15;
const isNever = (atMs: number) => atMs === 0 || Math.abs(atMs) > lastMs;

/** Local time to the minute, with the day unless it is today. `-` for 0, which means never, and for an invalid time. */
export function formatTime(atMs: number | bigint, nowMs: number): string {
  if (isNever(Number(atMs))) return '-';
  const [day, time] = local(Number(atMs));
  return day === local(nowMs)[0] ? time.slice(0, 5) : `${day} ${time.slice(0, 5)}`;
}

/** Replaces the ISO times in a sentence of the daemon with local times as in `formatTime`. */
export function withLocalTimes(text: string, nowMs: number): string {
  return text.replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, (iso) => {
    const atMs = Date.parse(iso);
    return Number.isNaN(atMs) ? iso : formatTime(atMs, nowMs);
  });
}

/** Local time of day, to the second. */
export function formatClock(atMs: number): string {
  return local(atMs)[1];
}

/** The ISO time for programs. Null for 0, which means never, and for an invalid time. */
export function isoTime(atMs: number | bigint): string | null {
  return isNever(Number(atMs)) ? null : new Date(Number(atMs)).toISOString();
}

function local(atMs: number): [day: string, time: string] {
  const at = new Date(atMs);
  const two = (value: number) => String(value).padStart(2, '0');
  return [
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`,
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`,
  ];
}
