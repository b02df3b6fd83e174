export { callingDevice, type OwnService } from '@palyra/rpc';
export { type DaemonConfig, type DaemonConfigInput, parseConfig, readConfig } from './config.ts';
export type { FoundDaemon } from './lan/records.ts';
export { type LanSearchOptions, searchLan } from './lan/search.ts';
export type { LogLine, LogOptions } from './start/log.ts';
export { type LogLevel, logLevels } from './start/log-levels.ts';
export type { RunningDaemon } from './start/running-daemon.ts';
export { type StartOptions, startDaemon } from './start.ts';
