// Values stored in this browser: tokens until the tab closes, everything else until it is changed.
// Storage can be disabled or full; the page then works without it.

const PREFIX = 'airclass.';

const storage = (key: string): Storage => (key.startsWith('token.') ? sessionStorage : localStorage);

export function readStored(key: string): string | null {
  try {
    return storage(key).getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function writeStored(key: string, value: string): void {
  try {
    storage(key).setItem(PREFIX + key, value);
  } catch {
    // storage is disabled or full
  }
}

export function removeStored(key: string): void {
  try {
    storage(key).removeItem(PREFIX + key);
  } catch {
    // storage is disabled
  }
}
