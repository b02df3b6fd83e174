// The service of the conformance suite, and a record of what its handlers saw.

import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from '@connectrpc/connect';
import { within } from '../../../../tests/testing/until.ts';
import {
  type Answer,
  AnswerSchema,
  type Ask,
  AskSchema,
  ConformanceService,
} from './gen/palyra/conformance/v1/conformance_pb.js';

/** Events in the handlers, for the test that caused them. */
export class HandlerWitness {
  #seen: string[] = [];
  #wake = () => {};
  /** Answers produced by the endless stream. */
  produced = 0;

  /** The next report of a handler. */
  async next(): Promise<string> {
    while (this.#seen.length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await within('a report of the handler', promise);
    }
    return this.#seen.shift()!;
  }

  report(what: string): void {
    this.#seen.push(what);
    this.#wake();
  }

  forget(): void {
    this.#seen = [];
  }
}

export function conformanceRoutes(witness: HandlerWitness): (router: ConnectRouter) => void {
  return (router) => {
    router.service(ConformanceService, {
      unary: (ask, context) => behave(ask, context, witness),
      async clientStream(asks, context) {
        let count = 0;
        let bytes = 0;
        for await (const ask of asks) {
          if (ask.behaviour !== 'count') return behave(ask, context, witness);
          count++;
          bytes += ask.payload.length;
        }
        return answer(`${bytes} bytes`, count);
      },
      async *serverStream(ask, context) {
        if (ask.behaviour === 'endless') {
          yield* endless(ask, context, witness);
          return;
        }
        for (let i = 0; i < ask.count; i++) yield answer(`${i}`, i, ask.payload);
        if (ask.behaviour !== 'count') yield await behave(ask, context, witness);
        context.responseTrailer.set('after', `${ask.count}`);
      },
      async *bidi(asks, context) {
        let count = 0;
        for await (const ask of asks) {
          if (ask.behaviour === 'stop') break;
          yield await behave(ask, context, witness);
          count++;
        }
        yield answer('bye', count);
      },
    });
  };
}

async function behave(ask: Ask, context: HandlerContext, witness: HandlerWitness): Promise<Answer> {
  switch (ask.behaviour) {
    case 'echo':
      return answer('echo', ask.count, ask.payload);
    case 'empty':
      return create(AnswerSchema);
    case 'headers':
      for (const [name, value] of context.requestHeader) {
        if (!name.startsWith('x-')) continue;
        context.responseHeader.append(name, value);
        context.responseTrailer.append(
          `${name.replace('-bin', '')}-trailer${name.endsWith('-bin') ? '-bin' : ''}`,
          value,
        );
      }
      context.responseHeader.append('x-twice', 'one');
      context.responseHeader.append('x-twice', 'two');
      return answer('headers', 0);
    case 'wait':
      witness.report('started');
      await new Promise<void>((resolve) =>
        context.signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      witness.report(abortCode(context));
      throw new ConnectError('the handler was stopped', Code.Aborted);
    case 'watch':
      context.signal.addEventListener('abort', () => witness.report(abortCode(context)), { once: true });
      return answer('watching', 0);
    case 'fail':
      throw new ConnectError(
        'näh: 100 % broken\nquite',
        Code.FailedPrecondition,
        { 'x-why': 'because', 'x-why-bin': 'AAH/' },
        [{ desc: AskSchema, value: { behaviour: 'detail', count: 7, payload: Uint8Array.of(1, 2) } }],
      );
    case 'throw':
      throw new Error('a secret of the server');
    case 'large':
      return answer('large', 0, new Uint8Array(ask.count).fill(7));
    default:
      throw new ConnectError(`no behaviour ${ask.behaviour}`, Code.InvalidArgument);
  }
}

const abortCode = (context: HandlerContext) =>
  `aborted: ${Code[ConnectError.from(context.signal.reason).code]}`;

/** Never ends by itself. Counts its messages. */
async function* endless(ask: Ask, context: HandlerContext, witness: HandlerWitness) {
  witness.produced = 0;
  try {
    while (!context.signal.aborted) {
      witness.produced++;
      yield answer('more', witness.produced, ask.payload);
    }
  } finally {
    witness.report('endless stream over');
  }
}

function answer(text: string, count: number, payload: Uint8Array = new Uint8Array()): Answer {
  return create(AnswerSchema, { text, count, payload });
}
