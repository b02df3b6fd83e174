// Collects the unary methods of a router, for calls that can be served without Connect.

import type { DescMethodUnary } from '@bufbuild/protobuf';
import type { ConnectRouter, ConnectRouterOptions, ContextValues } from '@connectrpc/connect';
import {
  grpcContentType,
  type RequestHead,
  UnaryCall,
  type UnaryCallOptions,
  type UnaryImplementation,
} from './unary-call.ts';
import type { HeldBytes } from './unfinished-bytes.ts';

const plainContentTypes: ReadonlySet<string | undefined> = new Set(['application/grpc', grpcContentType]);

type ServiceOptions = Parameters<ConnectRouter['service']>[2];

export class UnaryMethods {
  readonly #options: UnaryCallOptions;
  readonly #methods = new Map<string, { method: DescMethodUnary; implementation: UnaryImplementation }>();

  constructor(options: UnaryCallOptions) {
    this.#options = options;
  }

  /**
   * Wraps the routes, so that their unary methods are collected here as well. Connect alone serves a service that has options of
   * its own. Such options replace the router's, so this function puts the check and the limits back.
   *
   * @param protocols that the router serves.
   */
  collect(
    routes: (router: ConnectRouter) => void,
    protocols: Pick<ConnectRouterOptions, 'grpcWeb' | 'connect'> = {},
  ): (router: ConnectRouter) => void {
    const { check, readMaxBytes, writeMaxBytes } = this.#options;
    const bounded = (options: ServiceOptions) =>
      options && {
        ...options,
        ...protocols,
        interceptors: [...(check ? [check.interceptor] : []), ...(options.interceptors ?? [])],
        readMaxBytes,
        ...(writeMaxBytes !== undefined && { writeMaxBytes }),
        acceptCompression: [],
      };
    return (router) => {
      const collecting: ConnectRouter = {
        handlers: router.handlers,
        service: (service, implementation, options) => {
          router.service(service, implementation, bounded(options));
          for (const method of options ? [] : service.methods) {
            const found = implementation[method.localName as keyof typeof implementation];
            if (method.methodKind === 'unary' && found)
              this.#add(method as DescMethodUnary, (found as UnaryImplementation).bind(implementation));
          }
          return collecting;
        },
        rpc: (method, implementation, options) => {
          router.rpc(method, implementation, bounded(options));
          if (method.methodKind === 'unary' && !options)
            this.#add(method as DescMethodUnary, implementation as UnaryImplementation);
          return collecting;
        },
      };
      routes(collecting);
    };
  }

  #add(method: DescMethodUnary, implementation: UnaryImplementation): void {
    this.#methods.set(`/${method.parent.typeName}/${method.name}`, { method, implementation });
  }

  /**
   * Begins a call. Undefined when the call must be served by Connect.
   *
   * @param held counts the bytes of the call's incomplete message.
   */
  begin(head: RequestHead, contextValues: ContextValues, held?: HeldBytes): UnaryCall | undefined {
    const found = this.#methods.get(head.path);
    if (!found || !plainContentTypes.has(head.field('content-type'))) return undefined;
    if ((head.field('grpc-encoding') ?? 'identity') !== 'identity') return undefined;
    const { method, implementation } = found;
    return new UnaryCall(method, implementation, this.#options, head, contextValues, held);
  }
}
