// Observes the calls that a server handles, for metrics and traces.

import { Code, ConnectError, type ContextValues, type Interceptor } from '@connectrpc/connect';
import { isErrorCode } from '@palyra/identity/errors';
import type { CallCheck } from '../access/access-check.ts';
import { ErrorInfoSchema } from '../gen/palyra/error/v1/error_pb.js';

export interface ObservedCall {
  /** Without a leading slash: `palyra.node.v1.NodeService/Renew`. Always a method that the server has. */
  readonly method: string;
  /** `refused`: the caller may not make it, and no handler runs. */
  readonly kind: 'unary' | 'stream' | 'refused';
  /** Hold the peer of the call. */
  readonly values: ContextValues;
  /** A header of the request; undefined when the peer sent none. @param name in lower case. */
  readonly header: (name: string) => string | undefined;
}

export interface CallObservation {
  /** Runs the handler of a unary call. Default: calls it. */
  readonly within?: <T>(handle: () => T) => T;
  /** Called once, at the end. `ok`, or a stable code, or the name of a gRPC code in lower case. */
  readonly end: (outcome: string) => void;
}

/** Called for each call that the server begins to handle or refuses. Neither this nor its observation may throw. */
export type CallObserver = (call: ObservedCall) => CallObservation;

/** One observer that tells each of these. The first is the outermost. */
export function observeBy(observers: readonly CallObserver[]): CallObserver {
  return (call) => {
    const all = observers.map((observe) => observe(call));
    const inside = all.flatMap(({ within }) => (within ? [within] : []));
    return {
      ...(inside.length > 0 && {
        within<T>(handle: () => T): T {
          let run = handle;
          for (const each of inside.toReversed()) {
            const inner = run;
            run = () => each(inner);
          }
          return run();
        },
      }),
      end: (outcome) => {
        for (const { end } of all) end(outcome);
      },
    };
  };
}

/** The check, with each of its calls observed. Without an observer, the check itself. */
export function observed(check: CallCheck, observe: CallObserver | undefined): CallCheck {
  if (!observe) return check;
  const noHeader = () => undefined;

  const begin: CallCheck['begin'] = (method, values) => {
    const fail = (error: unknown) => {
      observe({ method, values, kind: 'refused', header: noHeader }).end(outcomeOf(error));
      throw error;
    };
    try {
      return check.begin(method, values)?.catch(fail);
    } catch (error) {
      return fail(error);
    }
  };

  const unary: CallCheck['unary'] = async (method, values, run, header = noHeader) => {
    const { within = call, end } = observe({ method, values, kind: 'unary', header });
    try {
      const result = await within(() => check.unary(method, values, run, header));
      end('ok');
      return result;
    } catch (error) {
      end(outcomeOf(error));
      throw error;
    }
  };

  const interceptor: Interceptor = (next) => {
    const checked = check.interceptor(next);
    return async (request) => {
      const { within = call, end } = observe({
        method: `${request.service.typeName}/${request.method.name}`,
        values: request.contextValues,
        kind: request.stream ? 'stream' : 'unary',
        header: (name) => request.header.get(name) ?? undefined,
      });
      try {
        const response = await within(() => checked(request));
        if (response.stream) return { ...response, message: untilEnd(response.message, end) };
        end('ok');
        return response;
      } catch (error) {
        end(outcomeOf(error));
        throw error;
      }
    };
  };

  return { begin, unary, interceptor };
}

const call = <T>(handle: () => T): T => handle();

async function* untilEnd<T>(messages: AsyncIterable<T>, end: (outcome: string) => void): AsyncIterable<T> {
  // What remains when the caller leaves before the last message.
  let outcome = 'canceled';
  try {
    yield* messages;
    outcome = 'ok';
  } catch (error) {
    outcome = outcomeOf(error);
    throw error;
  } finally {
    end(outcome);
  }
}

/** The code in the error that the peer gets. */
function outcomeOf(error: unknown): string {
  const sent = ConnectError.from(error);
  const [info] = sent.findDetails(ErrorInfoSchema);
  return info && isErrorCode(info.code) ? info.code : snakeCase(Code[sent.code] ?? 'Unknown');
}

const snakeCase = (name: string): string => name.replace(/(?<=.)[A-Z]/g, '_$&').toLowerCase();
