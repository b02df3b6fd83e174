// The valid names of secrets. Names come from code, never from a peer, so an invalid one is a TypeError.

const MAX_NAME_CHARACTERS = 128;
const characters = /^[a-z0-9/._-]*$/;

/** @throws TypeError unless it is 1 to 128 characters of a-z 0-9 / . _ - without an empty, `.` or `..` segment. */
export function checkSecretName(name: string): void {
  const wellFormed =
    isPrefix(name) &&
    name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
  if (wellFormed) return;
  throw new TypeError(
    'A secret name is 1 to 128 characters of a-z 0-9 / . _ - without an empty, "." or ".." segment',
  );
}

/** @throws TypeError for a prefix that no name can have. */
export function checkPrefix(prefix: string): void {
  if (!isPrefix(prefix))
    throw new TypeError('A prefix of secret names is 0 to 128 characters of a-z 0-9 / . _ -');
}

function isPrefix(text: unknown): text is string {
  return typeof text === 'string' && text.length <= MAX_NAME_CHARACTERS && characters.test(text);
}
