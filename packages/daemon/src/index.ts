export { type DaemonConfig, type DaemonConfigInput, parseConfig, readConfig } from './config.ts';
export { type Explanation, explain } from './explain.ts';
export { takeHome } from './home.ts';
export { QuicRuntime, type QuicRuntimeOptions } from './quic-runtime.ts';
export { type RunningDaemon, type StartOptions, startDaemon } from './start.ts';
