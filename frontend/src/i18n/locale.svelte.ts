// Korean and English, chosen by the browser, changed by one button, remembered on the device.
export type Lang = 'ko' | 'en';
export type Values = Record<string, string | number>;

const STORED = 'airclass.lang';

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
    return localStorage.getItem(STORED);
  } catch {
    return null; // storage can be forbidden; the language then lasts as long as the page
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
      localStorage.setItem(STORED, lang);
    } catch {
      // see stored()
    }
  }
}

export const locale = new Locale();

/** Fill `{name}` with a value, and `{n|one|many}` with the word that fits the number. */
export function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (whole, name: string, one?: string, many?: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    if (one === undefined || many === undefined) return String(value);
    return value === 1 ? one : many;
  });
}

/** A translate function for one page's words; a key missing in either language does not compile. */
export function translator<Key extends string>(
  en: Record<Key, string>,
  ko: Record<Key, string>,
): (key: Key, values?: Values) => string {
  return (key, values = {}) => fill((locale.lang === 'ko' ? ko : en)[key], values);
}
