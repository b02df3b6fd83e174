// The agent for a browser: it stays connected, renews and runs capabilities. This file must import no Node modules.

export { runAgent } from './agent.ts';
export { type Capabilities, type Capability, type CapabilityCall, MAX_OUTPUT_BYTES } from './capability.ts';
export type { AgentOptions, AgentState } from './options.ts';
