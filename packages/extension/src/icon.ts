// The icon of this extension, for notices.

export const iconUrl: string = chrome.runtime.getURL('icon-128.png');
