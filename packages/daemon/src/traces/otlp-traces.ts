// Traces with OpenTelemetry. Nothing is registered for the whole process, so a program that embeds the daemon keeps its own traces.

import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout } from 'node:timers/promises';
import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Registry } from '@palyra/identity/registry';
import type { CallObserver, ObservedCall } from '@palyra/rpc/transport';
import { peerIn } from '@palyra/rpc/transport';
import type { DaemonConfig } from '../config.ts';
import { OtlpExporter } from './otlp-exporter.ts';
import type { Traces } from './traces.ts';

/** The registry's methods that are no use of it. */
const unobserved: ReadonlySet<PropertyKey> = new Set(['enforce', 'subscribe', 'close', 'auditRows']);
/** Longest text in a span; the texts are ours, so it is never reached. */
const maxTextLength = 256;
const maxQueueSize = 2048;
/** Time for the last spans to be taken when the daemon stops, ms. A receiver that hangs must not hold the daemon. */
const closeMs = 2_000;

export interface OtlpTracesOptions extends NonNullable<DaemonConfig['traces']> {
  /** Of the daemon. */
  readonly version: string;
  /** The registry's, as OpenTelemetry names it. */
  readonly database: 'sqlite' | 'postgresql';
  /** Called when spans cannot be sent. */
  readonly onError: (error: unknown, where: string) => void;
}

export class OtlpTraces implements Traces {
  readonly #provider: TracerProvider;
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;
  readonly #inCall = new AsyncLocalStorage<Context>();
  readonly #database: string;

  constructor({ url, ratio, version, database, onError }: OtlpTracesOptions) {
    this.#database = database;
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'palyra', 'service.version': version }),
      // A caller that traces decides for its own calls only.
      sampler: new ParentBasedSampler({
        root: ratio === 1 ? new AlwaysOnSampler() : new TraceIdRatioBasedSampler(ratio),
      }),
      spanLimits: { attributeValueLengthLimit: maxTextLength, attributeCountLimit: 16 },
      spanProcessors: [new BatchSpanProcessor({ exporter: new OtlpExporter(url, onError), maxQueueSize })],
    });
    this.#tracer = this.#provider.getTracer('palyra', version);
  }

  readonly observe: CallObserver = (call) => {
    // A stream is open for days.
    if (call.kind === 'stream') return { end() {} };
    const [service, method] = call.method.split('/');
    const peer = peerIn(call.values);
    const span = this.#tracer.startSpan(
      call.method,
      {
        kind: SpanKind.SERVER,
        attributes: {
          'rpc.system': 'grpc',
          'rpc.service': service,
          'rpc.method': method,
          'palyra.caller': peer?.caller ?? 'unknown',
          ...(peer?.caller === 'device' && {
            'network.transport': peer.transport,
            'client.address': peer.source,
          }),
        },
      },
      callerContext(call),
    );
    const context = trace.setSpan(ROOT_CONTEXT, span);
    return {
      within: (handle) => this.#inCall.run(context, handle),
      end: (outcome) => {
        span.setAttribute('palyra.outcome', outcome);
        if (outcome !== 'ok') span.setStatus({ code: SpanStatusCode.ERROR, message: outcome });
        span.end();
      },
    };
  };

  registry(registry: Registry): Registry {
    const observe = (name: string, use: () => unknown): unknown => {
      const parent = this.#inCall.getStore();
      if (!parent) return use();
      const span = this.#tracer.startSpan(
        `registry ${name}`,
        { attributes: { 'db.system': this.#database } },
        parent,
      );
      const fail = (error: unknown) => {
        span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
        throw error;
      };
      try {
        const result = use();
        if (result instanceof Promise)
          return result.then((value) => {
            span.end();
            return value;
          }, fail);
        span.end();
        return result;
      } catch (error) {
        return fail(error);
      }
    };
    return new Proxy(registry, {
      get(target, name) {
        const value = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const method = value.bind(target) as (...args: unknown[]) => unknown;
        if (typeof name === 'symbol' || unobserved.has(name)) return method;
        return (...args: unknown[]) => observe(name, () => method(...args));
      },
    });
  }

  async close(): Promise<void> {
    const waited = setTimeout(closeMs, undefined, { ref: false });
    await Promise.race([this.#provider.shutdown(), waited]).catch(() => {});
  }
}

/** The trace of the caller (W3C Trace Context). A stranger's trace does not count. */
function callerContext({ header, values }: ObservedCall): Context {
  const peer = peerIn(values);
  if (!peer || peer.caller === 'anyone') return ROOT_CONTEXT;
  const found = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/.exec(
    header('traceparent') ?? '',
  );
  if (!found) return ROOT_CONTEXT;
  const [, traceId = '', spanId = '', flags = ''] = found;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  return trace.setSpanContext(ROOT_CONTEXT, spanContext);
}
