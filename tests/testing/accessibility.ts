// Checks the accessibility of a page with axe.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** @param where names the state of the page in the failure. */
export async function hasNoFault(page: Page, where: string): Promise<void> {
  const faults = await page.evaluate(`(async () => {
    if (!window.axe) { ${axe} }
    const { violations, passes } = await window.axe.run();
    if (passes.length < 10) return ['axe looked at nothing'];
    return violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' '));
  })()`);
  assert.deepEqual(faults, [], where);
}
