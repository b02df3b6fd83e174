// Services of a program that embeds the daemon. They are checked once, before anything starts. Every listener then serves the
// checked implementation, over HTTP/2 and QUIC, behind the access check of the built-in services.

import type { DescMethod } from '@bufbuild/protobuf';
import { type ConnectRouter, createConnectRouter } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { printable } from '@palyra/identity/values';
import type { OwnAccess, OwnCaller } from './access.ts';
import { isOurs } from './reserved-names.ts';

export interface OwnService {
  /**
   * Registers the handlers, as for any Connect server: `(router) => router.service(Hello, { ... })`. Runs once. Of Connect's
   * options for a service only `interceptors` is accepted. Interceptors run after the access check.
   */
  readonly routes: (router: ConnectRouter) => void;
  /** The callers of each method: one row per method, by its full name. `{ 'mine.v1.Hello/Greet': 'device' }` */
  readonly access: OwnAccess;
}

/** Services that have passed the check. */
export interface OwnServices {
  readonly routes: (router: ConnectRouter) => void;
  readonly access: OwnAccess;
}

const callers: ReadonlySet<unknown> = new Set<OwnCaller>(['device', 'operator']);

/** @throws SERVICE_INVALID that lists every fault, one per line. */
export function ownServices(services: readonly OwnService[]): OwnServices {
  const faults: string[] = [];
  const registrations: ((router: ConnectRouter) => void)[] = [];
  const table: Record<string, OwnCaller> = Object.create(null);
  const served = new Set<string>();
  for (const { routes, access: rows } of services) {
    const methods = new Set<string>();
    let isOver = false;
    const serve = (each: readonly DescMethod[], options: object | undefined) => {
      if (isOver) throw new TypeError('services are registered before routes returns');
      for (const method of each) {
        const name = nameOf(method);
        if (isOurs(name)) faults.push(`${name} has a name of the daemon's own services.`);
        else if (served.has(name)) faults.push(`${name} is registered twice.`);
        else if (!Object.hasOwn(rows, name)) faults.push(`${name} has no row in the access table.`);
        methods.add(name);
        served.add(name);
      }
      for (const option of Object.keys(options ?? {}))
        if (option !== 'interceptors')
          faults.push(
            `${each.map(nameOf)[0]} is registered with the option ${option}; only interceptors is taken.`,
          );
    };
    const recorder: ConnectRouter = {
      // The access check would not cover handlers of another router.
      handlers: Object.freeze([]) as unknown as ConnectRouter['handlers'],
      service(service, implementation, options) {
        serve(service.methods, options);
        registrations.push((router) => router.service(service, implementation, options));
        return recorder;
      },
      rpc(method, implementation, options) {
        serve([method], options);
        registrations.push((router) => router.rpc(method, implementation, options));
        return recorder;
      },
    };
    // The return type `void` also accepts an async function. Services that it registers later would not be checked.
    const returned: unknown = routes(recorder);
    isOver = true;
    if (returned instanceof Promise) {
      returned.catch(() => {});
      faults.push('routes returns a promise; it must register everything before it returns.');
    }
    for (const [name, caller] of Object.entries(rows)) {
      if (!methods.has(name))
        faults.push(`${printable(name)} is in the access table, but no such method is registered.`);
      if (!callers.has(caller))
        faults.push(
          `${printable(name)} is for "${printable(String(caller))}"; it must be "device" or "operator".`,
        );
      table[name] = caller;
    }
  }
  if (faults.length > 0) throw new IdentityError('SERVICE_INVALID', faults.join('\n'));
  const all = (router: ConnectRouter) => {
    for (const register of registrations) register(router);
  };
  // Reports the faults that Connect itself finds, too, before anything starts.
  all(createConnectRouter());
  return { routes: all, access: Object.freeze(table) };
}

const nameOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;
