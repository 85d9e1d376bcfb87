// The list of names that may enter a classroom, as a teacher types or pastes it.

const MAX_NAMES = 800;
const MAX_NAME_CHARS = 64;
const SEPARATORS = /[\n\r\t,;]+/;
/** "1. ", "2) ", "- " and the like before a name. */
const LIST_MARK = /^(?:\d+\s*[.)]|[-*•·])\s*/;
const NUMBER = /^[\d\s.]*$/;

/** Two names are the same without case and spaces. */
const key = (name: string): string => name.toLowerCase().replace(/\s/g, '');

/** The names in a column or a row of a sheet, or in a typed list. */
export function parseRoster(text: string): string[] {
  const names = new Map<string, string>();
  for (const cell of text.normalize('NFC').split(SEPARATORS)) {
    const name = cell.trim().replace(LIST_MARK, '').replace(/\s+/g, ' ').slice(0, MAX_NAME_CHARS);
    if (NUMBER.test(name) || names.has(key(name)) || names.size >= MAX_NAMES) continue;
    names.set(key(name), name);
  }
  return [...names.values()];
}

/** One name a line. */
export function rosterText(names: string[]): string {
  return [...names].sort((a, b) => a.localeCompare(b)).join('\n');
}
