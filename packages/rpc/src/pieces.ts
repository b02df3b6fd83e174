// Bytes that come in pieces. A peer can send each byte in a piece of its own, and a piece takes many times its bytes in
// memory; so small ones are put together.

/** Pieces up to this size are joined, bytes. */
const smallBytes = 1024;

/** @param bytes copied when they are joined to what came before. */
export function appendPiece(pieces: Uint8Array[], bytes: Uint8Array): void {
  const last = pieces.at(-1);
  if (last && last.length + bytes.length <= smallBytes)
    pieces[pieces.length - 1] = Buffer.concat([last, bytes]);
  else pieces.push(bytes);
}
