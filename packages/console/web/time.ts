// Times in the words of people.

const units: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000 * 365, 'year'],
  [86_400_000, 'day'],
  [3_600_000, 'h'],
  [60_000, 'min'],
];

/** `3 min`, `2 days`; below a minute, `a moment`. */
export function span(ms: number): string {
  for (const [unit, name] of units) {
    const count = Math.floor(ms / unit);
    if (count < 1) continue;
    return `${count} ${name}${count > 1 && (name === 'day' || name === 'year') ? 's' : ''}`;
  }
  return 'a moment';
}

export const ago = (thenMs: bigint, nowMs: number): string =>
  thenMs === 0n
    ? 'never'
    : nowMs - Number(thenMs) < 60_000
      ? 'just now'
      : `${span(nowMs - Number(thenMs))} ago`;

/** `9:42`, `1:03:20`. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

export const formatDateTime = (ms: bigint): string => dateTime.format(Number(ms));
export const formatClock = (ms: bigint): string => clock.format(Number(ms));
export const formatDay = (ms: bigint): string => day.format(Number(ms));
