// Makes the folder that a browser loads. Everything is in files of the extension's own, because its CSP refuses the rest.

import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;

/** @param folder replaced with the extension. */
export async function buildExtension(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  cpSync(join(here, 'static'), folder, { recursive: true });
  await build({
    entryPoints: ['worker.ts', 'popup.tsx', 'options.tsx'].map((entry) => join(here, 'src', entry)),
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    logLevel: 'warning',
  });
}
