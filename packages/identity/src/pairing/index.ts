export type { KeyProof, RenewalReply } from '../renewal/daemon.ts';
export { type PairingCode, parsePairingCode } from './code.ts';
export type { AwaitUpdate } from './collect.ts';
export type { ConfirmReply, ExchangeReply, OpenReply } from './daemon.ts';
export type { ApprovalChoice, MintedCode } from './desk.ts';
export { MAX_NAME_LENGTH, parseDeviceName } from './name.ts';
export type { PairingChannel } from './sessions.ts';
