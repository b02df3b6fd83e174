/** Folder of the built pages. Empty until `npm run build`. */
export const consolePages: URL = new URL('../dist/', import.meta.url);
