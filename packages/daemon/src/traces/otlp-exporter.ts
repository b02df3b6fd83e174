// Sends spans to a receiver: OTLP over HTTP, as JSON (opentelemetry.io/docs/specs/otlp). The exporter of OpenTelemetry takes settings
// from environment variables, such as headers and another receiver; this one takes only the configured address.

import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { BatchSpanProcessorOptions, ReadableSpan } from '@opentelemetry/sdk-trace';
import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import { post } from '../notices/webhook.ts';

type SpanExporter = BatchSpanProcessorOptions['exporter'];
type Done = Parameters<SpanExporter['export']>[1];

/** Time for the receiver to take a batch, ms. */
const timeoutMs = 10_000;
const [succeeded, failed] = [0, 1];

export class OtlpExporter implements SpanExporter {
  readonly #url: string;
  readonly #onError: (error: unknown, where: string) => void;
  readonly #sending = new Set<Promise<void>>();
  /** A receiver that is away is reported once. */
  #isFailing = false;

  constructor(url: string, onError: (error: unknown, where: string) => void) {
    this.#url = url;
    this.#onError = onError;
  }

  export(spans: ReadableSpan[], done: Done): void {
    const sending = this.#send(spans).then(
      () => {
        this.#isFailing = false;
        done({ code: succeeded });
      },
      (cause) => {
        if (!this.#isFailing) this.#onError(notTaken(this.#url, cause), 'the traces');
        this.#isFailing = true;
        done({ code: failed });
      },
    );
    this.#sending.add(sending);
    void sending.finally(() => this.#sending.delete(sending));
  }

  async forceFlush(): Promise<void> {
    await Promise.all(this.#sending);
  }

  shutdown(): Promise<void> {
    return this.forceFlush();
  }

  async #send(spans: ReadableSpan[]): Promise<void> {
    const body = JsonTraceSerializer.serializeRequest(spans);
    if (!body) return;
    const status = await post(this.#url, {
      headers: { 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (status < 200 || status > 299) throw new Error(`status ${status}`);
  }
}

function notTaken(url: string, cause: unknown): IdentityError {
  const message = `The receiver of traces at ${new URL(url).origin} fails: ${reasonOf(cause)}.`;
  return new IdentityError('UNREACHABLE', message, { cause });
}
