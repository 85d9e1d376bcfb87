// What this device remembers, and for how long: the name until it is changed, a token until the tab
// closes. Storage can be forbidden or full; then the page simply forgets.

const PREFIX = 'airclass.';

const store = (key: string): Storage => (key.startsWith('token.') ? sessionStorage : localStorage);

export function recall(key: string): string | null {
  try {
    return store(key).getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    store(key).setItem(PREFIX + key, value);
  } catch {
    // nothing to do
  }
}

export function forget(key: string): void {
  try {
    store(key).removeItem(PREFIX + key);
  } catch {
    // nothing to do
  }
}
