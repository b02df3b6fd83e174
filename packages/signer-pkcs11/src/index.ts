export { TokenKeys, type TokenKeysOptions } from './token-keys.ts';
