/** The classroom code in a path like /join/K7QF, or an empty string. */
export function codeFromPath(path: string): string {
  const found = /^\/join\/([^/]+)\/?$/.exec(path)?.[1];
  if (found === undefined) return '';
  try {
    return decodeURIComponent(found);
  } catch {
    return ''; // an invalid % escape in a mistyped link
  }
}

// The keys of the Korean two-set keyboard, for Unicode's initial consonants, vowels and final consonants.
const INITIALS = 'R R S E E F A Q Q T T D W W C Z X V G';
const VOWELS = 'K O I O J P U P H HK HO HL Y N NJ NP NL B M ML L';
const FINALS = 'R R RT S SW SG E F FR FA FQ FT FX FV FG A Q QT T T D W C Z X V G';
const HANGUL_KEYS = new Map<string, string>();
for (const [first, keys] of [
  [0x1100, INITIALS],
  [0x1161, VOWELS],
  [0x11a8, FINALS],
] as const)
  keys.split(' ').forEach((key, index) => HANGUL_KEYS.set(String.fromCharCode(first + index), key));

/**
 * A code without spaces and dashes, in capital letters. Full-width characters and letters from a keyboard
 * that was left on Hangul are read as the keys that were pressed.
 */
export function normalizeCode(code: string): string {
  const keys = Array.from(code.normalize('NFKD'), (char) => HANGUL_KEYS.get(char) ?? char);
  return keys
    .join('')
    .toUpperCase()
    .replace(/[^0-9A-Z]/g, '');
}
