// What the kernel counts for a process.

import { readFile } from 'node:fs/promises';

/** Processor time is counted in hundredths of a second. */
const tickMs = 10;

/** Processor time so far, ms. */
export async function cpuMs(pid: number): Promise<number> {
  // The name of the program, in brackets, may contain spaces.
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
