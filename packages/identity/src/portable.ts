// What runs in a browser as well: no module of Node's is imported from here.

export { hasCode, IdentityError, type IdentityErrorCode, type IdentityErrorOptions } from './errors.ts';
export { type Link, LinkedList } from './linked-list.ts';
export { lvCat, lvSplit } from './lv.ts';
export { reasonOf } from './reason.ts';
export { printable } from './visible-text.ts';
export { Wakeup } from './wakeup.ts';
