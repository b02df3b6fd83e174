// Notices to the operator, delivered and failed.

import { Counter, type Registry } from 'prom-client';

export type NoticeWay = 'command' | 'webhook';

export class NoticeMetrics {
  readonly #notices: Counter;

  constructor(registry: Registry) {
    this.#notices = new Counter({
      name: 'palyra_notices_total',
      help: 'Notices since the start, by way and outcome; failed ones include those left out for their rate',
      labelNames: ['way', 'outcome'],
      registers: [registry],
    });
    for (const way of ['command', 'webhook'])
      for (const outcome of ['delivered', 'failed']) this.#notices.inc({ way, outcome }, 0);
  }

  count(way: NoticeWay, isDelivered: boolean): void {
    this.#notices.inc({ way, outcome: isDelivered ? 'delivered' : 'failed' });
  }
}
