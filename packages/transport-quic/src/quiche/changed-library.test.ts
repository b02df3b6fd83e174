// Simulates changed versions of the library. Each is refused when it is loaded, and the error names the missing method or field.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { guardLibrary } from './guard.ts';

/** The private methods and fields of the library that we use. */
function asKnown() {
  class QuicServer extends EventEmitter {
    _sessions: unknown = new Map();
    _onData() {}
    _onError() {}
    _onNewSession() {}
  }
  class QuicServerSession extends EventEmitter {
    _streams: unknown = new Map();
  }
  class QuicClientSession extends EventEmitter {
    _streams: unknown = new Map();
    _onData() {}
    _onError() {}
    _scheduleHandshakeReady() {}
  }
  return { QuicServer, QuicServerSession, QuicClientSession };
}

type Known = ReturnType<typeof asKnown>;
const guard = (library: Known) => guardLibrary(library as unknown as Parameters<typeof guardLibrary>[0]);

test('the known version of the library is accepted', () => guard(asKnown()));

const methods: readonly (readonly [keyof Known, string])[] = [
  ['QuicServer', '_onData'],
  ['QuicServer', '_onError'],
  ['QuicServer', '_onNewSession'],
  ['QuicClientSession', '_onData'],
  ['QuicClientSession', '_onError'],
  ['QuicClientSession', '_scheduleHandshakeReady'],
];
for (const [name, method] of methods)
  test(`a library whose ${name} has no ${method} is refused`, () => {
    const library = asKnown();
    Reflect.deleteProperty(library[name].prototype, method);
    const message = `this version of the QUIC library hides ${method}`;
    assert.throws(() => guard(library), { name: 'TypeError', message });
  });

const fields: readonly (readonly [keyof Known, string])[] = [
  ['QuicServer', '_sessions'],
  ['QuicServerSession', '_streams'],
  ['QuicClientSession', '_streams'],
];
for (const [name, field] of fields)
  test(`a library whose ${name} keeps its ${field} elsewhere is refused`, () => {
    const library = asKnown();
    const Known = library[name];
    const changed = class extends Known {
      constructor() {
        super();
        Reflect.deleteProperty(this, field);
      }
    };
    const message = `this version of the QUIC library hides ${field}`;
    assert.throws(() => guard({ ...library, [name]: changed }), { name: 'TypeError', message });
  });
