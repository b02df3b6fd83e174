// Everything the page needs, in files of its own: nothing inline (the CSP refuses it), nothing from elsewhere.

export default {
  root: new URL('web/', import.meta.url).pathname,
  publicDir: false,
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false,
  },
};
