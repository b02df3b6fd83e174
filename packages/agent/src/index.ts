export { afterRefusal } from '@palyra/identity/device';
export { runAgent } from './agent.ts';
export { builtInCapabilities } from './built-in.ts';
export { type Capabilities, type Capability, type CapabilityCall, MAX_OUTPUT_BYTES } from './capability.ts';
export { writeCredentialFiles } from './credential-files.ts';
export {
  type CredentialFilesState,
  CredentialKeeper,
  type CredentialKeeperOptions,
} from './credential-keeper.ts';
export { type Dial, quicFirst, webLast } from './dial.ts';
export { folderCapabilities, type SkipReason } from './folder.ts';
export type { AgentOptions, AgentState } from './options.ts';
export { RequestWatch, type RequestWatchOptions } from './request-watch.ts';
