// How protobuf turns text into bytes and back. Of its own accord it uses TextEncoder, which takes several times as long as
// Buffer for texts as short as ours.

import { configureTextEncoding } from '@bufbuild/protobuf/wire';

const lenient = new TextDecoder();
const strict = new TextDecoder('utf-8', { fatal: true });

configureTextEncoding({
  encodeUtf8: (text) => Buffer.from(text),
  decodeUtf8: (bytes, isStrict) => (isStrict ? strict : lenient).decode(bytes),
  checkUtf8: (text) => text.isWellFormed(),
});
