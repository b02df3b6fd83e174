// What a person has typed into the form, for the popup that they open next: a popup closes when they look for the code elsewhere.
// The code itself is not kept.

export interface Draft {
  readonly address: string;
  readonly name: string;
}

const key = 'draft';

export async function readDraft(): Promise<Partial<Draft>> {
  const { [key]: draft } = await chrome.storage.session.get<Record<string, Partial<Draft> | undefined>>(key);
  return draft ?? {};
}

export async function keepDraft(draft: Draft): Promise<void> {
  await chrome.storage.session.set({ [key]: draft });
}
