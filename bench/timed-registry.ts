// A registry that measures its own working time.

import type { Registry } from '@palyra/identity/registry';

export interface TimedRegistry {
  readonly registry: Registry;
  /** The working time since the last call of this function, ms. */
  takeMs(): number;
}

export function timeRegistry(registry: Registry): TimedRegistry {
  let ms = 0;
  const timed = new Proxy(registry, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return (...values: unknown[]) => {
        const started = performance.now();
        const result = member.apply(target, values);
        if (!(result instanceof Promise)) return result;
        return result.finally(() => {
          ms += performance.now() - started;
        });
      };
    },
  });
  return {
    registry: timed,
    takeMs: () => {
      const taken = ms;
      ms = 0;
      return taken;
    },
  };
}
