export { type Clock, presentTime, type RunningClock, steadyAfterMs, systemClock } from './clock.ts';
export { nodeCrypto } from './crypto/node.ts';
export type { Awaitable, IdentityKey, PairingCrypto } from './crypto/port.ts';
export { type DeviceId, isUlid, makeUlid, parseDeviceId, type Ulid } from './device-id.ts';
export {
  authorityOf,
  type Endpoint,
  formatEndpoint,
  isCanonicalEndpoint,
  MAX_ENDPOINT_LENGTH,
  parseEndpoint,
} from './endpoint.ts';
export {
  type EndpointLists,
  listenerKinds,
  MAX_ENDPOINTS,
  parseEndpointLists,
  parseSharedEndpoint,
} from './endpoint-lists.ts';
export type { IdentityErrorOptions } from './errors.ts';
export { installAgain } from './install-again.ts';
export {
  clockToleranceMs,
  defaultPairingLimits,
  listedAfterEndMs,
  MAX_PAIRING_MESSAGE_BYTES,
  type PairingLimits,
} from './limits.ts';
export { codeOf, reasonOf, refusalOf } from './reason.ts';
export { sameBytes } from './same-bytes.ts';
export { charactersOf, parseVisibleText, printable, UNPRINTABLE } from './visible-text.ts';
export { Wakeup } from './wakeup.ts';
export { isWebEndpoint, parseWebEndpoint } from './web-endpoint.ts';
