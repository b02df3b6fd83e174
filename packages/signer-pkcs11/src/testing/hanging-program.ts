// Opens a token, reports the id of the process that talks to the token, and opens the token again on a message.

import { TokenKeys } from '../token-keys.ts';
import { TokenLink } from '../token-link.ts';

const [module, label, pinFile, refusedMarker] = process.argv.slice(2) as [string, string, string, string];
await TokenKeys.open({ module, label, pinFile, refusedMarker });
process.send!(TokenLink.to(module).pid);
process.once('message', () => void TokenKeys.open({ module, label: 'another', pinFile, refusedMarker }));
