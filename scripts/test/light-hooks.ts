// Loaded before each test file. node:test follows every promise with an async hook, to find the test of an error that
// nobody caught. That takes a sixth of the processor time of asynchronous tests. Here an AsyncLocalStorage finds the test.

import asyncHooks, { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import process from 'node:process';

const { createHook, executionAsyncId } = asyncHooks;
/** The async id of the running test. */
const running = new AsyncLocalStorage<number>();
// node:test calls this inside the scope of the test.
channel('tracing:node.test:start').bindStore(running, () => executionAsyncId());

// node:test takes these two functions when it is first loaded.
asyncHooks.createHook = (callbacks) => createHook({ ...callbacks, trackPromises: false });
asyncHooks.executionAsyncId = () => running.getStore() ?? executionAsyncId();
process.getBuiltinModule('node:test');
Object.assign(asyncHooks, { createHook, executionAsyncId });
