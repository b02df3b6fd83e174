export {
  type BackupSummary,
  backupHome,
  type RestoreOptions,
  type RestoreSummary,
  restoreHome,
} from './backup.ts';
export { type DaemonConfig, type DaemonConfigInput, parseConfig, readConfig } from './config.ts';
export { examineHome, type Finding } from './doctor.ts';
export { type Explanation, explain } from './explain.ts';
export { checkHome, takeHome } from './home.ts';
export { readPassphrase, rekeySecrets } from './master-key.ts';
export { QuicRuntime, type QuicRuntimeOptions } from './quic-runtime.ts';
export { type RunningDaemon, type StartOptions, startDaemon } from './start.ts';
