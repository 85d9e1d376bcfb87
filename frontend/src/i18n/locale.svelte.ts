// The language of the page, Korean or English: by default that of the browser, stored when the user
// changes it.
export type Lang = 'ko' | 'en';
export type Values = Record<string, string | number>;

const STORAGE_KEY = 'airclass.lang';

function firstChoice(): Lang {
  const asked = new URLSearchParams(location.search).get('lang');
  const wanted = [asked, stored(), ...navigator.languages];
  for (const tag of wanted) {
    if (tag?.toLowerCase().startsWith('ko')) return 'ko';
    if (tag?.toLowerCase().startsWith('en')) return 'en';
  }
  return 'en';
}

function stored(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null; // storage is disabled; the choice lasts until the page is closed
  }
}

class Locale {
  lang = $state<Lang>(firstChoice());

  constructor() {
    document.documentElement.lang = this.lang;
  }

  choose(lang: Lang): void {
    this.lang = lang;
    document.documentElement.lang = lang;
    try {
      localStorage.setItem(STORAGE_KEY, lang);
    } catch {
      // storage is disabled
    }
  }
}

export const locale = new Locale();

/** Replace `{name}` by a value, and `{n|one|many}` by the singular or the plural. */
export function fill(text: string, values: Values): string {
  return text.replace(
    /\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g,
    (whole, name: string, one?: string, many?: string) => {
      const value = values[name];
      if (value === undefined) return whole;
      if (one === undefined || many === undefined) return String(value);
      return value === 1 ? one : many;
    },
  );
}

/** The translate function of one page. A key missing in one language is a type error. */
export function translator<Key extends string>(
  en: Record<Key, string>,
  ko: Record<Key, string>,
): (key: Key, values?: Values) => string {
  return (key, values = {}) => fill((locale.lang === 'ko' ? ko : en)[key], values);
}
