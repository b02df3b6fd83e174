// The processes that run test files in turn, each one file at a time.

import { type FileRun, type ProcessOptions, type TestFile, TestProcess } from './test-process.ts';

export class ProcessPool {
  /** Processes without a file, oldest first. */
  readonly #resting: { readonly part: string; readonly process: TestProcess }[] = [];
  readonly #mostResting: number;
  readonly #onProblem: (files: readonly string[], problem: string) => void;

  /** @param onProblem is told what the files of a process left to happen later. */
  constructor(mostResting: number, onProblem: (files: readonly string[], problem: string) => void) {
    this.#mostResting = mostResting;
    this.#onProblem = onProblem;
  }

  /** @param part of the build: a process runs files of one. @param options for a new process. */
  async run(file: TestFile, part: string, options: ProcessOptions): Promise<FileRun> {
    const process = (await this.#take(part)) ?? new TestProcess(options);
    const run = await process.run(file);
    if (process.isAlive) this.#resting.push({ part, process });
    if (this.#resting.length > this.#mostResting) await this.#end(this.#resting.shift()!.process);
    return run;
  }

  /** When no file runs. */
  async end(): Promise<void> {
    await Promise.all(this.#resting.splice(0).map(({ process }) => this.#end(process)));
  }

  /** The newest one, because the others are ended first. */
  async #take(part: string): Promise<TestProcess | undefined> {
    const index = this.#resting.findLastIndex((each) => each.part === part);
    if (index < 0) return undefined;
    const { process } = this.#resting.splice(index, 1)[0]!;
    if (process.isAlive) return process;
    await this.#end(process);
    return undefined;
  }

  async #end(process: TestProcess): Promise<void> {
    const problem = await process.end();
    if (problem !== undefined) this.#onProblem(process.files, problem);
  }
}
