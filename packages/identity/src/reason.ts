// The reason of a failure in our own words. The messages of Node, OpenSSL and SQLite are written for programmers,
// differ between versions and quote their input. They stay in `cause`.

/** Codes of the system (errno(3)) and of name lookups (getaddrinfo(3)). */
const systemReasons: Readonly<Record<string, string>> = {
  EACCES: 'this user is not allowed to do that',
  EADDRINUSE: 'another program uses the port',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAI_AGAIN: 'the name could not be looked up',
  EBUSY: 'another program is using it',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the other side broke the connection',
  EDQUOT: 'the quota of this user is used up',
  EEXIST: 'it exists already',
  EFBIG: 'it is too large',
  EHOSTDOWN: 'the host is down',
  EHOSTUNREACH: 'the host cannot be reached',
  EIO: 'the disk failed',
  EISDIR: 'it is a folder',
  ELOOP: 'it is a symbolic link, or leads through too many',
  EMFILE: 'this process has too many files open',
  ENAMETOOLONG: 'the name is too long',
  ENETDOWN: 'the network is down',
  ENETUNREACH: 'the network cannot be reached',
  ENFILE: 'the system has too many files open',
  ENODEV: 'there is no such device',
  ENOENT: 'there is no such file or folder',
  ENOEXEC: 'it is not a program',
  ENOMEM: 'there is not enough memory',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is not a folder',
  ENOTEMPTY: 'the folder is not empty',
  ENOTFOUND: 'there is no host of this name',
  EPERM: 'this user is not allowed to do that',
  EPIPE: 'the other side has closed the connection',
  EPROTO: 'the other side does not speak the same protocol',
  EROFS: 'the file system is read-only',
  ESTALE: 'the file no longer exists on the network disk',
  ETIMEDOUT: 'there was no answer in time',
  ETXTBSY: 'the program is being written to',
  EXDEV: 'it is on another file system',
};

/** Primary result codes: https://sqlite.org/rescode.html. */
const sqliteReasons: Readonly<Record<number, string>> = {
  5: 'another process is using it',
  6: 'another process is using it',
  8: 'it is read-only',
  10: 'the disk failed',
  11: 'it is damaged',
  13: 'the disk is full',
  14: 'it cannot be opened',
  26: 'it is not a database',
};

/**
 * The reason as half a sentence to follow a colon: `there is no such file or folder (ENOENT)`. The code can be looked
 * up.
 * An error without a system code keeps its message, because we or the embedding program wrote it.
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A SyntaxError can only come from JSON.parse, because nothing here evaluates source text.
  if (error instanceof SyntaxError) return `it is not JSON${placeIn(error.message)}`;
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  if (code === 'ERR_SQLITE_ERROR') {
    const known = typeof errcode === 'number' ? sqliteReasons[errcode & 0xff] : undefined;
    return `${known ?? 'the database failed'} (SQLite ${errcode})`;
  }
  // None of our own codes begins like this.
  if (typeof code !== 'string' || !/^E[A-Z0-9]+(?:_[A-Z0-9_]+)?$/.test(code)) return error.message;
  return `${systemReasons[code] ?? 'it failed'} (${code})`;
}

/** The code that Node or the system gave this error, such as ENOENT (errno(3)); undefined for one without. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** A whole sentence if the system refuses a file or folder to this user; undefined for another error. */
export function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof Error && 'syscall' in error)) return undefined;
  if (error.syscall === 'uv_cwd')
    return 'The current folder no longer exists. Change to another folder, or give absolute paths.';
  return 'path' in error ? `${error.path} cannot be used: ${reasonOf(error)}.` : undefined;
}

/** The position of the error in the text; empty if Node does not give it. */
function placeIn(message: string): string {
  const [, line, column] = /\(line ([0-9]+) column ([0-9]+)\)/.exec(message) ?? [];
  return line === undefined ? '' : `: look at line ${line}, column ${column}`;
}
