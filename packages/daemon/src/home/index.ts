export { type Explanation, explain } from '../admin/explain.ts';
export { withSetting } from '../setting.ts';
export { type BackupOptions, type BackupSummary, backupHome } from './backup.ts';
export { mustNotExist } from './backup-file.ts';
export { type ExamineOptions, examineHome, type Finding } from './doctor.ts';
export { checkHome, findDaemon, takeHome } from './home.ts';
export { readPassphrase, rekeySecrets } from './master-key.ts';
export { type RestoreOptions, type RestoreSummary, restoreHome } from './restore.ts';
export { setAside } from './set-aside.ts';
