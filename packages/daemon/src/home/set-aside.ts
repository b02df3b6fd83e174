// Sets aside what a clock that was wrong has made, in the home of a stopped daemon.

import { type SetAsideCost, type SetAsideOptions, setAsideMisdated } from '@palyra/identity/registry';
import { openCaKeys } from './ca-key.ts';
import { withStoppedDaemon } from './home.ts';
import { openHome } from './open-home.ts';

/**
 * @param options `agree`: asked with the cost, while nobody else has the home. `configFile`: the daemon's configuration;
 *   default: the one with which it was started last.
 * @returns what was set aside; undefined when there was nothing.
 * @throws HOME_IN_USE, NOTHING_FOUND, CLOCK_WRONG, and what the stores say.
 */
export function setAside(
  homePath: string,
  options: Pick<SetAsideOptions, 'agree' | 'clock'> & { readonly configFile?: string },
): Promise<SetAsideCost | undefined> {
  return withStoppedDaemon(homePath, options.configFile, async (home, config) => {
    const { secrets, registry } = await openHome(home, config, () => {});
    try {
      const authorityKeys = await openCaKeys(config, home, secrets, registry);
      try {
        return await setAsideMisdated({ ...options, secrets, registry, authorityKeys });
      } finally {
        await authorityKeys.close();
      }
    } finally {
      await registry.close();
      await secrets.close();
    }
  });
}
