// Which permission of the browser each switch needs. The extension has none of them before the person says so.

import type { Switch } from './view.ts';

/** The browser's own permissions, which it asks the person for. */
export const permissionOf: Readonly<Partial<Record<Switch, 'tabs' | 'notifications' | 'clipboardRead'>>> = {
  'tabs.list': 'tabs',
  notify: 'notifications',
  'clipboard.read': 'clipboardRead',
  requests: 'notifications',
};
