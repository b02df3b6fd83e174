// Sets aside authorities that a wrong clock created, in the home of a stopped daemon.

import { type SetAsideCost, type SetAsideOptions, setAsideMisdated } from '@palyra/identity/registry';
import { openCaKeys } from './ca-key.ts';
import { withStoppedDaemon } from './home.ts';
import { openHome } from './open-home.ts';
import { mustBeInFile } from './registry-place.ts';

/**
 * @param options `agree`: called with the cost, while the home is locked. `configFile`: the daemon's configuration;
 *   default: the one used at the last start.
 * @returns the authorities set aside; undefined if there were none.
 * @throws HOME_IN_USE, NOTHING_FOUND, CLOCK_WRONG, and errors of the stores.
 */
export function setAside(
  homePath: string,
  options: Pick<SetAsideOptions, 'agree' | 'clock'> & { readonly configFile?: string },
): Promise<SetAsideCost | undefined> {
  return withStoppedDaemon(homePath, options.configFile, async (home, config) => {
    mustBeInFile(config, 'Setting authorities aside');
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
