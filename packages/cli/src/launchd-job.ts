// Writes a service as a job for launchd, the service manager of macOS: launchd.plist(5).

import { join } from 'node:path';
import { CliError } from './failure.ts';
import { quoted } from './home.ts';
import { type Service, stopSeconds } from './installed-service.ts';

const labels = { palyra: 'internal.palyra.daemon', 'palyra-node': 'internal.palyra.node' } as const;

/** The path where launchd looks for the job. */
export function launchdFile({ name, scope }: Service, userHome: string | undefined): string {
  const folder = scope === 'system' ? '/Library/LaunchDaemons' : `${userHome ?? '~'}/Library/LaunchAgents`;
  return `${folder}/${labels[name]}.plist`;
}

/** The command that loads the job from its file. */
export function launchdStart({ scope }: Service, file: string): string {
  return scope === 'system'
    ? `sudo launchctl bootstrap system ${quoted(file)}`
    : `launchctl bootstrap gui/$(id -u) ${quoted(file)}`;
}

/** @throws USAGE for text that a plist cannot hold. */
export function launchdJob({ name, scope, executable, args, home, user, restartSeconds }: Service): string {
  const log = join(home, `${name}.log`);
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${labels[name]}</string>
  <key>ProgramArguments</key>
  <array>
${[...executable, ...args].map((each) => `    <string>${escaped(each)}</string>\n`).join('')}  </array>
${scope === 'system' ? `  <key>UserName</key>\n  <string>${escaped(user)}</string>\n` : ''}  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>${Math.max(30, restartSeconds)}</integer>
  <key>ExitTimeOut</key>
  <integer>${stopSeconds}</integer>
  <key>Umask</key>
  <integer>${0o077}</integer>
  <key>StandardOutPath</key>
  <string>${escaped(log)}</string>
  <key>StandardErrorPath</key>
  <string>${escaped(log)}</string>
</dict>
</plist>
`;
}

function escaped(text: string): string {
  if (/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/u.test(text))
    throw new CliError('USAGE', `A launchd job cannot contain ${JSON.stringify(text)}.`);
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
