export {
  checkPrivate,
  makeParents,
  quoted,
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  syncFolder,
  withStoreErrors,
} from '../secret-store/private-file.ts';
export { type FileLock, takeAlone, takeByName } from './file-lock.ts';
export { mustBeOwnFolder } from './home-owner.ts';
export { checkTrusted, readTrusted, type TrustedPathOptions } from './trusted-path.ts';
